//! Each kind of trouble, against real sockets.
