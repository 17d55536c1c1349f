//! What the image says of one offset: it holds, it does not, or nothing can be said.

/// How one invariant came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The values there are what this field has, and hardly another.
    Held,
    /// Nothing in this image speaks for it or against it.
    Silent,
    /// The values there are not this field's.
    Failed,
}

/// How many objects fit and how many do not. Some may always be damaged, or lie: an image is judged by most of its objects.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Objects that fit.
    pub yes: usize,
    /// Objects that do not.
    pub no: usize,
}

impl Tally {
    /// Counts; `None` is an object that says nothing.
    pub fn of(all: impl IntoIterator<Item = Option<bool>>) -> Self {
        let mut tally = Self::default();
        for one in all {
            tally.add(one);
        }
        tally
    }

    /// Counts one more.
    pub const fn add(&mut self, one: Option<bool>) {
        match one {
            Some(true) => self.yes = self.yes.saturating_add(1),
            Some(false) => self.no = self.no.saturating_add(1),
            None => {}
        }
    }

    /// Objects that say something.
    pub const fn all(self) -> usize {
        self.yes.saturating_add(self.no)
    }

    /// Whether so many of a hundred fit.
    pub const fn share(self, percent: usize) -> bool {
        self.yes.saturating_mul(100) >= self.all().saturating_mul(percent)
    }

    /// Held if at least `least` objects fit, and `percent` of those that say something.
    pub const fn judge(self, least: usize, percent: usize) -> Judgement {
        if !self.share(percent) {
            Judgement::Failed
        } else if self.yes >= least {
            Judgement::Held
        } else {
            Judgement::Silent
        }
    }
}

impl From<bool> for Judgement {
    fn from(fits: bool) -> Self {
        if fits { Self::Held } else { Self::Failed }
    }
}
