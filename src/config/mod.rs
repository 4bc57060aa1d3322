//! Configuration: from a YAML file to a [`schema::Config`], or every problem in it at once.

pub mod schema;
mod secret;

pub use schema::Config;
pub use secret::Secret;
