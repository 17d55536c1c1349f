//! No bytes make it panic, run on without end, or lose everything because of one object.

use crate::common::forged::Opened;
use ntmem::{MemoryImage, System, check_smss};
use ntmem_forge::{Build, Scenario};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Words of memory that hold something are overwritten: with noise, with addresses of other words, with zeros. What is found
/// does not matter, only that every run comes to an end in good order.
#[test]
fn damaged_memory() {
    for build in [Build::W10_19045, Build::W7_7601] {
        let forged = Scenario::clean(build).forge();
        let opened = Opened::new(&forged);
        let Opened { store, .. } = &opened;
        let used: Vec<usize> =
            (0..forged.image.len() / 8).filter(|word| forged.image[word * 8..][..8] != [0; 8]).collect();
        let mut random = Random(0x1234_5678_9abc_def1);
        let mut read = 0;
        for round in 0..60 {
            let mut bytes = forged.image.clone();
            for _ in 0..1usize << (round % 12) {
                let at = used[random.next() as usize % used.len()] * 8;
                let other = used[random.next() as usize % used.len()] * 8;
                let value: [u8; 8] = match random.next() % 4 {
                    0 => random.next().to_le_bytes(),
                    1 => [0; 8],
                    2 => [0xff; 8],
                    _ => bytes[other..other + 8].try_into().unwrap(),
                };
                bytes[at..at + 8].copy_from_slice(&value);
            }
            let image = MemoryImage::from_bytes(bytes).unwrap();
            let Ok(kernel) = image.locate_kernel(store) else { continue };
            if let Ok(system) = System::read(&kernel) {
                let _ = check_smss(&system);
                serde_json::to_string(&ntmem::report::Report::new(system)).unwrap();
                read += 1;
            }
        }
        assert!(read > 20, "{build:?}: only {read} of 60 damaged images could still be read");
    }
}

/// Images that end anywhere.
#[test]
fn cut_images() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let opened = Opened::new(&forged);
    let Opened { store, .. } = &opened;
    let mut random = Random(77);
    for _ in 0..40 {
        let mut bytes = forged.image.clone();
        bytes.truncate(bytes.len() - random.next() as usize % (bytes.len() - 0x20_0000));
        let image = MemoryImage::from_bytes(bytes).unwrap();
        if let Ok(kernel) = image.locate_kernel(store)
            && let Ok(system) = System::read(&kernel)
        {
            let _ = check_smss(&system);
        }
    }
}
