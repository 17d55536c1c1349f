//! What a command says of one image, in the form that is asked for.

use crate::open;
use crate::options::Format;
use crate::output::{Piece, Rows, Style, Told};
use ntmem::Picture;
use ntmem::report::{Document, Lists, Page, Report, Summary};
use serde::Serialize;
use std::path::Path;

/// What a command writes on: it says which image, and in which form.
pub struct Sheet<'i> {
    /// The image. `None`: what is said is about several, or none.
    pub image: Option<&'i Path>,
    /// Nothing was written before.
    pub first: bool,
    /// The form.
    pub style: Style,
}

/// What a command says of one image.
pub struct Answer {
    /// In the form that was asked for.
    pub piece: Piece,
    /// What is said on standard error beside it.
    pub warnings: Vec<String>,
    /// A line among many images.
    pub summary: Summary,
    /// The exit status.
    pub code: u8,
}

impl Answer {
    /// With another exit status than 0.
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

impl Sheet<'_> {
    /// Writes a report: its document, the page, or the rows, of which every report has some beside `rows`.
    ///
    /// # Errors
    /// The command has no such form.
    pub fn answer(
        &self,
        report: &Report,
        picture: &Picture<'_>,
        page: impl FnOnce() -> Page,
        rows: impl FnOnce(&mut Rows<'_>),
    ) -> anyhow::Result<Answer> {
        self.answer_list(report, picture, Lists::All, page, rows)
    }

    /// The same with some lists only in its document.
    ///
    /// # Errors
    /// The command has no such form.
    pub fn answer_list(
        &self,
        report: &Report,
        picture: &Picture<'_>,
        lists: Lists,
        page: impl FnOnce() -> Page,
        rows: impl FnOnce(&mut Rows<'_>),
    ) -> anyhow::Result<Answer> {
        let page = || vec![page().with_hash(report)];
        self.answer_with(report, picture, &Document::new(report, picture).with(lists), page, rows)
    }

    /// The same with a document of another form, and with more pages where the form has room for them.
    ///
    /// # Errors
    /// The command has no such form.
    pub fn answer_with(
        &self,
        report: &Report,
        picture: &Picture<'_>,
        document: &impl Serialize,
        pages: impl FnOnce() -> Vec<Page>,
        rows: impl FnOnce(&mut Rows<'_>),
    ) -> anyhow::Result<Answer> {
        let name = self.image.map(open::name).unwrap_or_default();
        let host = picture.system().machine.host.value().map(String::as_str);
        let mut piece = Piece::default();
        let bytes = &mut piece.bytes;
        match self.style.format {
            Format::Json => self.style.document(bytes, self.first, document)?,
            Format::Jsonl => {
                let mut all = Rows::new(bytes, self.image.map(|_| name.as_str()), host);
                let with_more = self.style.told != Told::Events;
                if self.image.is_some() && with_more {
                    all.add("image", &report.image_row());
                }
                if with_more {
                    all.each("warning", &report.system.warnings);
                }
                rows(&mut all);
            }
            Format::Text | Format::Csv | Format::Html => {
                piece = self.style.pages(&name, host, self.first, &pages())?;
            }
        }
        let warnings = report.system.warnings.iter().map(ToString::to_string).collect();
        Ok(Answer { piece, warnings, summary: Summary::of(&name, report), code: 0 })
    }
}
