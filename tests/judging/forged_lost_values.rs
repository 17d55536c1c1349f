//! Single values of clean machines that were lost, as a lost sector or a bit that turned loses them: nobody is accused by what is left.

use crate::common::edited::Edited;
use crate::common::forged::Opened;
use crate::common::judged::Judged;
use ntmem_forge::{Build, Scenario};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_26100];
const MASTER: u64 = 348;

fn judged(image: &Edited) -> Judged {
    let store = &Opened::with_bytes(&image.forged, vec![0; 0x10_0000]).store;
    Judged::new(store, image.bytes.clone(), false)
}

#[track_caller]
fn accuses_nobody(what: &str, build: Build, image: &Edited) {
    let judged = judged(image);
    assert!(judged.verdict.is_ok() && !judged.accuses(), "{build:?} {what}: {:?} {}", judged.verdict, judged.words());
}

/// Places in a PEB and its parameters, which are the same in every x64 Windows (public symbols: `_PEB.ProcessParameters`,
/// `_RTL_USER_PROCESS_PARAMETERS.ImagePathName` and `CommandLine`).
const PARAMETERS: u64 = 0x20;
const TEXTS: [u64; 2] = [0x60, 0x70];

#[test]
fn texts_that_became_zeros() {
    for build in BUILDS {
        let mut image = Edited::new(&Scenario::clean(build));
        let (peb, root) = (image.get(image.process(MASTER).eprocess, "_EPROCESS", "Peb"), image.process(MASTER).dtb);
        let at = |image: &Edited, va| image.u64_at(image.physical(root, va));
        let parameters = at(&image, peb + PARAMETERS);
        for text in TEXTS {
            let length = at(&image, parameters + text) & 0xffff;
            let buffer = at(&image, parameters + text + 8);
            for byte in 0..length {
                let place = usize::try_from(image.physical(root, buffer + byte)).unwrap();
                image.bytes[place] = 0;
            }
        }
        accuses_nobody("path and command line", build, &image);
        let system = image.system(false);
        let master = system.process(MASTER).unwrap();
        assert!(master.peb_path.absent().is_some() && master.command_line.absent().is_some(), "{build:?}");
    }
}

#[test]
fn noise_in_the_place_of_a_path() {
    for build in BUILDS {
        let mut image = Edited::new(&Scenario::clean(build));
        let name = image.get(image.process(MASTER).eprocess, "_EPROCESS", "SeAuditProcessCreationInfo.ImageFileName");
        let (length, buffer) = (image.pointer(name) & 0xffff, image.pointer(name + 8));
        let noise: Vec<u8> = (0..length).map(|n| (n as u8).wrapping_mul(151).wrapping_add(77)).collect();
        image.write(buffer, &noise);
        accuses_nobody("path", build, &image);
    }
}

#[test]
fn ids_of_threads_and_processes() {
    for build in BUILDS {
        let mut image = Edited::new(&Scenario::clean(build));
        for thread in image.threads(MASTER) {
            image.put(thread, "_ETHREAD", "Cid.UniqueProcess", 0);
        }
        accuses_nobody("threads' ids are zero", build, &image);
        let mut image = Edited::new(&Scenario::clean(build));
        image.put_in(MASTER, "UniqueProcessId", MASTER | 1 << 45);
        accuses_nobody("one bit of an id", build, &image);
        // Who bears quite another id than its threads had it written over.
        let mut image = Edited::new(&Scenario::clean(build));
        image.put_in(MASTER, "UniqueProcessId", 0x1234_5678);
        assert!(judged(&image).accuses(), "{build:?}");
    }
}

#[test]
fn names_that_were_lost() {
    for build in BUILDS {
        for name in ["csrss.exe", "winlogon.exe", "wininit.exe"] {
            for byte in [0, 0xff] {
                let mut image = Edited::new(&Scenario::clean(build));
                let at = image.process(image.named(name)).eprocess + image.offset("_EPROCESS", "ImageFileName");
                image.write(at, &[byte; 15]);
                accuses_nobody(name, build, &image);
            }
        }
    }
}

#[test]
fn an_object_header_of_ones() {
    for build in BUILDS {
        let mut image = Edited::new(&Scenario::clean(build));
        let token = image.get(image.process(MASTER).eprocess, "_EPROCESS", "Token") & !15;
        image.write(token - 0x30, &[0xff; 0x30]);
        accuses_nobody("token", build, &image);
    }
}

/// A bit of the name of the control set turns: the set that is in use is not there, and no value of it is.
#[test]
fn the_name_of_the_control_set() {
    for build in BUILDS {
        let mut image = Edited::new(&Scenario::clean(build));
        let name = b"ControlSet001";
        let places: Vec<usize> =
            image.bytes.windows(name.len()).enumerate().filter(|(_, bytes)| bytes == name).map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "{build:?}");
        for at in places {
            image.bytes[at + 9] ^= 2;
        }
        accuses_nobody("ControlSet001", build, &image);
    }
}
