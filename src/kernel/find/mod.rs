//! Where in an image the kernel is: page-table roots, image bases, and what its image and the shared page say of it.

pub(crate) mod base;
pub(crate) mod exports;
mod hints;
pub(crate) mod kuser;
pub(crate) mod locate;
pub(crate) mod pe;
pub(crate) mod readings;
