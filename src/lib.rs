//! Cloakroom: a session gateway for web apps nobody can change.
//!
//! # Layout
//! - [`app`] assembles the process; `cli` and `main` are its door. [`gateway`] is one immutable generation of
//!   everything that follows from the configuration; [`reload`] puts the next one in its place.
//! - [`pipeline`] is THE request path, [`reject`] every way it ends early.
//! - [`server`] is the client's side: sockets, TLS, framing, deadlines. [`proxy`] is the app's side: pools,
//!   retry, WebSockets. They meet only in the pipeline.
//! - [`places`] puts right what apps say of their own address, and strips the prefix of a mounted one.
//! - [`routing`] finds the route, [`policy`] decides and makes the `Permit` that [`proxy`] demands.
//! - [`session`] holds every rule about sessions; [`store`] keeps bytes and knows none of them; [`storage`] opens the
//!   one that the configuration asks for.
//! - [`vault`] decides what browser and app see of each other's cookies; [`jar`] keeps them as a browser does.
//! - [`observe`] learns the user from an app's own sign-in; [`sign_on`] signs the user on to an app that has one.
//! - [`identity`] is who somebody is and how an app is told; [`auth`] is how it is proven; [`pages`] is what the
//!   gateway's own pages look like.
//! - [`http`], [`html`], [`clock`], [`timers`], [`config`] are the vocabulary below all that. [`telemetry`] is what operators
//!   read, [`admin`] where they ask, [`demo`] what newcomers try, [`survey`] what looks on while somebody signs in to an
//!   app and writes its `observe`.
//!
//! # One request, top to bottom
//! 1. [`server`] accepts on this worker's own socket, shakes hands, checks the framing of each head before hyper
//!    parses it.
//! 2. [`pipeline::handle`] settles client address, host and path, strips hop-by-hop headers and every header the
//!    gateway itself may assert, finds the route.
//! 3. [`session::Manager::open`] finds the cookie and loads the session.
//! 4. One of our own pages answers ([`auth::endpoints`]), or [`policy::decide`] gives a `Permit` or a challenge,
//!    which keeps a form that somebody was sending.
//! 5. The identity goes in, our cookie comes out, [`proxy::forward`] sends it on and checks what comes back.
//! 6. [`session::Manager::commit`] writes what was recorded, *before* the response head leaves.
//! 7. The access log line is written when the body ends.
//!
//! # Layers
//! Imports go down only, as `tests/layers.rs` checks:
//! `clock timers http html config` → `identity jar store` → `session telemetry` → `pages places routing policy` →
//! `auth observe proxy vault` → `sign_on storage` → `gateway reject` → `pipeline` → `server` → `reload` →
//! `admin app cli demo survey`.

pub mod admin;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod gateway;
pub mod html;
pub mod http;
pub mod identity;
pub mod jar;
pub mod observe;
pub mod pages;
pub mod pipeline;
pub mod places;
pub mod policy;
pub mod proxy;
pub mod reject;
pub mod reload;
pub mod routing;
pub mod server;
pub mod session;
pub mod sign_on;
pub mod storage;
pub mod store;
pub mod survey;
pub mod telemetry;
pub mod timers;
pub mod vault;
