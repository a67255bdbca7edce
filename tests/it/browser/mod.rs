//! The dashboard in a browser: how it looks, what its buttons do, with and without scripts, by mouse and by keyboard.

mod acts;
mod driver;
mod hostile;
mod pages;
mod script;
mod world;
