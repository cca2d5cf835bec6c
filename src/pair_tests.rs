//! The client's session and the hub's, joined by two buffers in virtual time. No sockets, no sleeping.
