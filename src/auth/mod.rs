//! Sign-in: who may come in, how a password is checked, how often it may be tried, and where to go after.
//!
//! The pieces here serve no HTTP of their own: they are the rules, the users table and the watch over its file.

pub mod csrf;
pub mod hash;
pub mod password;
pub mod regulation;
pub mod return_to;
pub mod users;
pub mod users_file;
