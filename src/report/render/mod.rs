//! Renderers: a page as text for people, as HTML, or its list as CSV.

mod csv;
mod html;
mod svg;
mod text;
mod wrap;

pub use csv::csv_line;
pub use html::html;
pub use text::TextStyle;
