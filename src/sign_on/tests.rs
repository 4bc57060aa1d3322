//! What is posted, by page and configuration.
