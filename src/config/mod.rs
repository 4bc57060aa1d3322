//! Configuration: from a YAML file to a [`schema::Config`], or every problem in it at once.

mod env;
mod problem;
mod recover;
pub mod schema;
mod secret;
mod tree;
mod typed;
mod yaml;

pub use problem::{Problem, Problems};
pub use schema::Config;
pub use secret::Secret;
