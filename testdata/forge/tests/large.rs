//! Streamed images.

use ntmem_forge::{Build, Scenario};
use std::fs;
use std::io::{Read, Seek, SeekFrom};

#[test]
fn a_streamed_image_is_the_machine_among_filler() {
    let path = std::env::temp_dir().join(format!("ntmem-forge-{}.raw", std::process::id()));
    let bytes = 96 << 20;
    let forged = Scenario::clean(Build::W10_19045).write_large(&path, bytes).expect("can be written");
    let mut file = fs::File::open(&path).expect("was written");
    assert_eq!(file.metadata().expect("has a size").len(), bytes);
    let mut read = |at: u64| {
        let mut page = vec![0; 4096];
        file.seek(SeekFrom::Start(at)).expect("seeks");
        file.read_exact(&mut page).expect("reads");
        page
    };
    for process in &forged.truth.processes {
        let page = read(process.physical & !0xfff);
        assert!(page.windows(process.name.len()).any(|w| w == process.name), "{}", process.name_text());
    }
    // Spread over the whole file, and not among zeros.
    let far = forged.truth.processes.iter().filter(|p| p.physical > bytes / 2).count();
    assert!(far > 3 && far < forged.truth.processes.len() - 3);
    let full = (0..96).filter(|mb| read((mb << 20) + 0x5000).iter().any(|&b| b != 0)).count();
    assert!(full > 40);
    fs::remove_file(&path).expect("can be removed");
}
