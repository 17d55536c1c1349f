//! A process object that Windows itself wrote: System of a Windows 10 19041, out of a triage dump.

use crate::common;
use ntmem::kernel::Layouts;
use ntmem::symbols::{self, Field, Stored};

#[test]
fn system_of_a_triage_dump() {
    let Some(material) = common::material("system_of_a_triage_dump") else { return };
    let real = material.join("real");
    if !real.is_dir() {
        common::skipped::note("system_of_a_triage_dump", "the triage dump is not in the extra test material");
        return;
    }
    let file = real.join("5278AFF86C341677D7D7835C85B7B844-1.json.xz");
    let symbols = symbols::load(&file, None, &Layouts::wanted()).unwrap();
    let layouts = Layouts::resolve(&symbols).unwrap();
    let process = &layouts.process;
    let dump = std::fs::read(real.join("triage_x64.dmp")).unwrap();
    // The README of the artefacts says where it lies and what it is.
    let object = &dump[0xd0b8..][..usize::try_from(process.size).unwrap()];
    let bytes = |offset: u64| &object[usize::try_from(offset).unwrap()..];
    fn get<T: Stored>(bytes: &[u8], field: Field<T>) -> T {
        T::decode(&bytes[usize::try_from(field.offset).unwrap()..]).unwrap()
    }
    assert_eq!(get(object, process.pid), 4);
    assert_eq!(get(object, process.ppid), 0);
    assert_eq!(get(object, process.dtb).0, 0x1a_d000);
    assert!(bytes(process.name.offset).starts_with(b"System\0"));
    // What a scan goes by: the kind of object, and two empty lists that agree on where it lay. Its size is not filled in.
    assert_eq!(get(object, process.header_type.unwrap()), 3);
    assert_eq!(get(object, process.header_size.unwrap()), 0);
    let own = |head: u64| {
        let [forward, backward] = [0, 8].map(|link| u64::decode(bytes(head + link)).unwrap());
        assert_eq!(forward, backward);
        forward - head
    };
    let address = own(process.wait_list.unwrap().offset);
    assert_eq!(own(process.profile_list.unwrap().offset), address);
    assert!(address >> 47 == 0x1_ffff && address % 16 == 0);
    // A thread of System is in its list: a kernel address.
    assert!(u64::decode(bytes(process.threads_head.unwrap().offset)).unwrap() >> 47 == 0x1_ffff);
}
