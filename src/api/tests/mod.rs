//! The API against stand-ins for the components behind it.

mod answers;
mod connections;
mod fakes;
mod reads;
mod records;
mod reload;
mod seen;
mod writes;
