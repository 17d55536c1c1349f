//! Pieces of a file that is far away: fetched when they are asked for, each once, and kept in a cache of bounded size. Whoever asks for
//! a piece that somebody is fetching waits for it.

use super::source::Bytes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Who fetches.
pub(super) trait Fetch: Send + Sync {
    /// All bytes `[from, from + length)`. `None`: they cannot be had, and nothing can from then on.
    fn fetch(&self, from: u64, length: u64) -> Option<Vec<u8>>;
}

/// Bytes of pieces that are kept.
const KEPT: u64 = 64 << 20;
/// Bytes of one request at most where pieces are read in order: more would be fetched for nothing at the end.
const MAX_AHEAD: u64 = 0x8_0000;
/// The same where somebody says that all of it will be read.
const MAX_REQUEST: u64 = 4 << 20;
/// Places from which reading may go on in order, as many as threads read at a time.
const STREAMS: usize = 8;

/// A file in pieces of one size, the last of which may be shorter.
pub(super) struct Pieces<F> {
    fetch: F,
    length: u64,
    size: u64,
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    /// What is here, and when it was last asked for.
    here: HashMap<u64, (Arc<[u8]>, u64)>,
    /// What somebody is fetching.
    coming: HashSet<u64>,
    /// Where reading goes on: the number of the next piece, and how many the last request brought.
    streams: VecDeque<(u64, u64)>,
    clock: u64,
    failed: bool,
}

impl State {
    fn get(&mut self, number: u64) -> Option<Arc<[u8]>> {
        self.clock = self.clock.saturating_add(1);
        let (bytes, used) = self.here.get_mut(&number)?;
        *used = self.clock;
        Some(Arc::clone(bytes))
    }

    fn is_missing(&self, number: u64) -> bool {
        !self.here.contains_key(&number) && !self.coming.contains(&number)
    }

    /// How many pieces to ask for from `number` on, given that it is missing: where pieces are read in order, a request brings twice as
    /// many as the one before, up to one that is here or coming.
    fn ahead(&mut self, number: u64, most: u64) -> u64 {
        let before = self.streams.iter().position(|(next, _)| *next == number).and_then(|at| self.streams.remove(at));
        let wanted = before.map_or(1, |(_, count)| count.saturating_mul(2).min(most)).max(1);
        let count = self.missing(number, wanted);
        if self.streams.len() >= STREAMS {
            self.streams.pop_front();
        }
        self.streams.push_back((number.saturating_add(count), count));
        count
    }

    /// How many pieces from `number` on are missing, `most` at most.
    fn missing(&self, number: u64, most: u64) -> u64 {
        let ends = (0..most).find(|n| !self.is_missing(number.saturating_add(*n)));
        ends.unwrap_or(most)
    }

    /// Takes what came, and lets go of what nobody asked for longest.
    fn keep(&mut self, number: u64, bytes: &[u8], size: u64) {
        let Ok(size) = usize::try_from(size) else { return };
        for (number, piece) in (number..).zip(bytes.chunks(size)) {
            self.clock = self.clock.saturating_add(1);
            self.here.insert(number, (Arc::from(piece), self.clock));
        }
        let most = usize::try_from(KEPT).unwrap_or(usize::MAX).checked_div(size).unwrap_or(1);
        if self.here.len() > most {
            // An eighth at a time: to find them takes a look at all.
            let mut used: Vec<u64> = self.here.values().map(|(_, used)| *used).collect();
            let (_, oldest, _) = used.select_nth_unstable(most / 8);
            let oldest = *oldest;
            self.here.retain(|_, (_, used)| *used > oldest);
        }
    }
}

impl<F: Fetch> Pieces<F> {
    /// A file of which nothing is here yet but its first bytes.
    pub(super) fn new(fetch: F, length: u64, size: u64, first: &[u8]) -> Self {
        let mut state = State::default();
        let over = first.len().checked_rem(usize::try_from(size).unwrap_or(1)).unwrap_or(0);
        let whole = first.len().saturating_sub(over);
        let whole = if u64::try_from(first.len()) == Ok(length) { first.len() } else { whole };
        state.keep(0, first.get(..whole).unwrap_or(&[]), size);
        let came = u64::try_from(whole).unwrap_or(0).div_ceil(size.max(1));
        state.streams.push_back((came, came));
        Self { fetch, length, size: size.max(1), state: Mutex::new(state), came: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn piece(&self, number: u64) -> Option<Arc<[u8]>> {
        let mut state = self.state();
        loop {
            if let Some(bytes) = state.get(number) {
                return Some(bytes);
            }
            // What failed once would be a hole among bytes that are right.
            if state.failed {
                return None;
            }
            if !state.coming.contains(&number) {
                let count = state.ahead(number, MAX_AHEAD.checked_div(self.size).unwrap_or(1).max(1));
                state = self.request(state, number, count);
            } else {
                state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Fetches pieces that are missing, without holding the lock, and tells those who wait for them.
    fn request<'s>(&'s self, mut state: MutexGuard<'s, State>, number: u64, count: u64) -> MutexGuard<'s, State> {
        let numbers = number..number.saturating_add(count);
        state.coming.extend(numbers.clone());
        drop(state);
        let from = number.saturating_mul(self.size);
        let length = count.saturating_mul(self.size).min(self.length.saturating_sub(from));
        let bytes = self.fetch.fetch(from, length);
        let mut state = self.state();
        state.coming.retain(|number| !numbers.contains(number));
        match bytes {
            Some(bytes) => state.keep(number, &bytes, self.size),
            None => state.failed = true,
        }
        self.came.notify_all();
        state
    }
}

impl<F: Fetch> Bytes for Pieces<F> {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let (mut at, mut done) = (at, 0usize);
        while let Some(rest) = buf.get_mut(done..len).filter(|rest| !rest.is_empty()) {
            let place = at.checked_div(self.size).zip(at.checked_rem(self.size));
            let Some((number, within)) = place else { break };
            let Some(piece) = self.piece(number) else { break };
            let from = usize::try_from(within).ok().and_then(|within| piece.get(within..)).unwrap_or(&[]);
            let count = from.len().min(rest.len());
            let (Some(to), Some(from)) = (rest.get_mut(..count), from.get(..count)) else { break };
            if count == 0 {
                break;
            }
            to.copy_from_slice(from);
            done = done.saturating_add(count);
            at = at.saturating_add(u64::try_from(count).unwrap_or(0));
        }
        done
    }

    /// Fetches what is missing of a range, what lies together in one request.
    fn prefetch(&self, at: u64, len: u64) {
        // More would push out what came first.
        let end = at.saturating_add(len.min(KEPT / 4)).min(self.length).div_ceil(self.size);
        let most = MAX_REQUEST.checked_div(self.size).unwrap_or(1).max(1);
        let mut number = at.checked_div(self.size).unwrap_or(u64::MAX);
        while number < end {
            let state = self.state();
            if state.failed {
                return;
            }
            let count = state.missing(number, most.min(end.saturating_sub(number)));
            if count > 0 {
                drop(self.request(state, number, count));
            }
            number = number.saturating_add(count.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    const SIZE: u64 = 0x100;

    /// A file whose bytes tell where they are; what was asked for is written down.
    struct Slow {
        asked: Mutex<Vec<(u64, u64)>>,
        /// What cannot be had.
        broken: Option<u64>,
    }

    impl Fetch for Slow {
        fn fetch(&self, from: u64, length: u64) -> Option<Vec<u8>> {
            self.asked.lock().unwrap().push((from, length));
            thread::sleep(Duration::from_millis(1));
            (self.broken != Some(from)).then(|| (from..from + length).map(byte).collect())
        }
    }

    fn byte(at: u64) -> u8 {
        (at ^ at >> 8) as u8
    }

    fn file(length: u64, broken: Option<u64>) -> Pieces<Slow> {
        Pieces::new(Slow { asked: Mutex::default(), broken }, length, SIZE, &[])
    }

    fn asked(file: &Pieces<Slow>) -> Vec<(u64, u64)> {
        file.fetch.asked.lock().unwrap().clone()
    }

    #[test]
    fn each_piece_comes_once_whoever_asks() {
        let length = 200 * SIZE + 7;
        let file = file(length, None);
        thread::scope(|scope| {
            for thread in 0..8u64 {
                let file = &file;
                scope.spawn(move || {
                    // Each in an order of its own, and all of the whole.
                    for n in 0..=200 {
                        let at = n * [1, 3, 7, 11, 13, 17, 19, 23][thread as usize] % 201 * SIZE;
                        let mut buf = [0; 0x180];
                        let read = file.read(at, &mut buf);
                        assert_eq!(read as u64, (length - at).min(0x180));
                        assert!((at..).zip(&buf[..read]).all(|(at, read)| byte(at) == *read), "{at:#x}");
                        file.prefetch(at, 5 * SIZE);
                    }
                });
            }
        });
        let mut pieces: Vec<u64> =
            asked(&file).iter().flat_map(|(from, length)| (*from..from + length).step_by(SIZE as usize)).collect();
        let count = pieces.len();
        pieces.sort_unstable();
        pieces.dedup();
        assert_eq!((count, pieces.len()), (201, 201), "pieces that came, and different ones");
    }

    #[test]
    fn what_lies_together_is_one_request() {
        let file = file(1 << 20, None);
        file.read(10 * SIZE, &mut [0; 1]);
        file.prefetch(8 * SIZE + 3, 6 * SIZE);
        assert_eq!(asked(&file), [(10 * SIZE, SIZE), (8 * SIZE, 2 * SIZE), (11 * SIZE, 4 * SIZE)]);
        file.prefetch(u64::MAX - 5, 100);
        file.prefetch(1 << 20, u64::MAX);
        file.prefetch(8 * SIZE, 6 * SIZE);
        assert_eq!(asked(&file).len(), 3, "nothing is there, or all is here");
    }

    #[test]
    fn a_failure_is_one_for_all() {
        let file = file(1 << 20, Some(5 * SIZE));
        let mut buf = [0; 4];
        assert_eq!(file.read(4 * SIZE, &mut buf), 4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(file.read(5 * SIZE, &mut [0; 4]), 0));
            }
        });
        assert_eq!((file.read(6 * SIZE, &mut buf), asked(&file).len()), (0, 2), "nothing further is asked for");
        assert_eq!(file.read(4 * SIZE, &mut buf), 4, "what came is right");
        file.prefetch(0, 1 << 20);
        assert_eq!(asked(&file).len(), 2);
    }

    #[test]
    fn the_cache_is_bounded() {
        let file = file(3 * KEPT, None);
        let most = (KEPT / SIZE) as usize;
        let mut state = file.state();
        for n in 0..3 * most as u64 {
            state.keep(n, &[0; SIZE as usize], SIZE);
            assert!(state.here.len() <= most);
        }
        assert!(state.here.len() > most / 2 && state.here.contains_key(&(3 * most as u64 - 1)));
    }
}
