//! What a command says of one image, in the form that is asked for.

use crate::open;
use crate::options::Format;
use crate::output::{Rows, Style};
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
    pub bytes: Vec<u8>,
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
        self.answer_with(report, picture, &Document::new(report, picture).with(lists), || vec![page()], rows)
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
        let mut bytes = Vec::new();
        match self.style.format {
            Format::Json => self.style.document(&mut bytes, self.first, document)?,
            Format::Jsonl => {
                let mut all = Rows::new(&mut bytes, self.image.map(|_| name.as_str()), host);
                if self.image.is_some() && !self.style.events {
                    all.add("image", &report.image_row());
                }
                if !self.style.events {
                    all.each("warning", &report.system.warnings);
                }
                rows(&mut all);
            }
            Format::Text | Format::Csv | Format::Html => {
                self.style.pages(&mut bytes, &name, host, self.first, &pages())?;
            }
        }
        let warnings = report.system.warnings.iter().map(ToString::to_string).collect();
        Ok(Answer { bytes, warnings, summary: Summary::of(&name, report), code: 0 })
    }
}
