//! Where in an image the kernel is: page-table roots, image bases, how they prove themselves, and what its image and the shared
//! page say of it.

pub(crate) mod base;
pub(crate) mod choose;
mod distance;
pub(crate) mod exports;
mod hints;
pub(crate) mod kuser;
pub(crate) mod leaves;
pub(crate) mod locate;
pub(crate) mod pe;
pub(crate) mod proof;
pub(crate) mod readings;
pub(crate) mod roots;
