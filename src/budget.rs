//! What reading one system may keep. A cap for each reader bounds each; it does not bound their sum, nor what thousands of
//! processes repeat of one thing that they share.

use crate::{Absent, Warning};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What a record is read for: what matters most has most of the budget to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// What is told of any process beyond who it is.
    Details,
    /// That there is a process.
    Rows,
    /// System, the processes that Windows cannot run without, and what is in them.
    Core,
    /// The Session Manager's keys.
    Keys,
}

impl Use {
    /// Sixteenths of the budget that are kept for what matters more.
    const fn kept(self) -> u64 {
        match self {
            Self::Details => 10,
            Self::Rows => 6,
            Self::Core => 2,
            Self::Keys => 0,
        }
    }
}

/// Bytes that the records of any system may take: some ten thousand processes. What is counted is what a record takes in memory
/// and in a document.
const BASE: u64 = 384 << 20;
/// One byte more for so many bytes of image: larger machines have more of everything.
const PER_BYTE: u64 = 16;
/// And no more than this.
const MOST: u64 = 4 << 30;

/// The bytes that the records of one system may take in memory and in a document, lent to everybody who reads it.
#[derive(Debug)]
pub(crate) struct Budget {
    all: u64,
    left: AtomicU64,
    refused: [AtomicBool; 4],
    /// One thing was too large.
    large: AtomicBool,
}

impl Budget {
    /// The budget for an image of so many bytes.
    pub(crate) fn of_image(bytes: u64) -> Self {
        Self::new(BASE.saturating_add(bytes / PER_BYTE).min(MOST))
    }

    fn new(all: u64) -> Self {
        Self { all, left: AtomicU64::new(all), refused: Default::default(), large: AtomicBool::new(false) }
    }

    fn refused(&self, of: Use) -> &AtomicBool {
        let [details, rows, core, keys] = &self.refused;
        match of {
            Use::Details => details,
            Use::Rows => rows,
            Use::Core => core,
            Use::Keys => keys,
        }
    }

    /// What is left for this use.
    fn left(&self, of: Use) -> u64 {
        self.left.load(Relaxed).saturating_sub((self.all / 16).saturating_mul(of.kept()))
    }

    /// Whether there was not enough for this use once: what comes later is not looked at then, whether it would fit or not.
    pub(crate) fn is_spent(&self, of: Use) -> bool {
        self.refused(of).load(Relaxed)
    }

    /// Takes so many bytes.
    ///
    /// # Errors
    /// There are not so many left for this use.
    pub(crate) fn take(&self, bytes: u64, of: Use) -> Result<(), Absent> {
        if self.is_spent(of) || bytes > self.left(of) {
            self.refused(of).store(true, Relaxed);
            return Err(spent());
        }
        self.left.store(self.left.load(Relaxed).saturating_sub(bytes), Relaxed);
        Ok(())
    }

    /// How many records of so many bytes each one reader may make: those that fit in a quarter of what is left.
    pub(crate) fn records(&self, bytes: u64, of: Use) -> usize {
        usize::try_from((self.left(of) / 4).checked_div(bytes).unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// Notes that one record was larger than [`records`](Self::records) allows. Others may still be read.
    pub(crate) fn note_large(&self) {
        self.large.store(true, Relaxed);
    }

    /// The one warning, if anything was refused.
    pub(crate) fn warning(&self) -> Option<Warning> {
        self.refused.iter().chain([&self.large]).any(|refused| refused.load(Relaxed)).then(|| {
            let message = format!(
                "the records of this image would take more than the {} MiB that they may: thousands of objects lead to the same \
                 large data, or there are too many of them; what is not told is marked `not collected`",
                self.all >> 20
            );
            Warning::new("budget", message)
        })
    }
}

/// Why a value is not told when the budget is spent.
pub(crate) fn spent() -> Absent {
    Absent::not_collected("the budget for records is spent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_more_is_read_when_the_rest_is_not() {
        let budget = Budget::new(1600);
        assert!(budget.warning().is_none());
        assert!(budget.take(600, Use::Details).is_ok());
        assert!(budget.take(1, Use::Details).is_err(), "ten sixteenths are kept");
        assert!(budget.take(400, Use::Rows).is_ok());
        assert!(budget.take(1, Use::Rows).is_err());
        assert!(budget.take(400, Use::Core).is_ok());
        assert!(budget.take(1, Use::Core).is_err());
        assert_eq!(budget.records(10, Use::Keys), 5, "a quarter of 200");
        assert!(budget.take(200, Use::Keys).is_ok());
        assert!(budget.take(1, Use::Keys).is_err());
        assert!(budget.warning().is_some_and(|warning| warning.message.contains("not collected")));
    }

    #[test]
    fn nothing_is_read_after_a_refusal() {
        let budget = Budget::new(1600);
        assert!(budget.take(700, Use::Details).is_err());
        assert!(budget.take(1, Use::Details).is_err());
        assert!(budget.take(1, Use::Rows).is_ok());
    }
}
