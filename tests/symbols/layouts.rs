//! Every structure that is read resolves against the symbols of real kernels.

use crate::common;
use ntmem::kernel::Layouts;
use ntmem::symbols;

/// 213 kernels from Windows 7 to 11: all that a check needs is found in each, but for what the build does not have.
#[test]
fn real_kernels() {
    let Some(material) = common::material("real_kernels") else { return };
    let mut kernels = 0;
    for file in std::fs::read_dir(material.join("symbols/kernels")).unwrap() {
        let file = file.unwrap().path();
        let symbols = symbols::load(&file, None, &Layouts::wanted()).unwrap();
        let layouts = Layouts::resolve(&symbols).unwrap();
        let name = file.display();
        let process = layouts.process;
        for (field, found) in [
            ("threads", process.threads.is_some()),
            ("session", process.session.is_some()),
            ("wow64", process.wow64.is_some()),
            ("audit_name", process.audit_name.is_some()),
            ("section", process.section.is_some()),
            ("section_base", process.section_base.is_some()),
            ("critical", process.critical.is_some()),
            ("base_priority", process.base_priority.is_some()),
            ("handle_table", process.handle_table.is_some()),
            ("debug_port", process.debug_port.is_some()),
            ("win32_process", process.win32_process.is_some()),
        ] {
            assert!(found, "{name}: {field}");
        }
        // Windows 7 has neither protection nor minimal processes; everything later here has both.
        let windows7 = process.protection.is_none();
        assert_eq!(windows7, process.minimal.is_none(), "{name}");
        assert_eq!(windows7, process.dynamic_code_disabled.is_none(), "{name}");
        assert!(
            layouts.token.unwrap().present.is_some() && layouts.peb.is_ok() && layouts.parameters.is_ok(),
            "{name}"
        );
        assert!(layouts.ldr.is_ok() && layouts.ldr_entry.is_ok() && layouts.control_area.is_ok(), "{name}");
        assert_eq!(layouts.session.unwrap().id.offset, 8, "{name}");
        assert!(layouts.section.is_ok() != layouts.section_object.is_ok(), "{name}");
        let table = layouts.handle_table.unwrap();
        assert!(table.count.is_some() || (table.free_lists.is_some() && layouts.free_list.is_ok()), "{name}");
        symbols.global("PsActiveProcessHead").unwrap();
        kernels += 1;
    }
    assert_eq!(kernels, 213);
}

/// The PDB and the symbol file of one kernel give the same places for everything that is read, for every kernel of which both
/// are at hand.
#[test]
fn pdb_and_symbol_file_agree() {
    let Some(material) = common::material("pdb_and_symbol_file_agree") else { return };
    let wanted = Layouts::wanted();
    let mut pairs = Vec::new();
    for folder in std::fs::read_dir(material.join("symbols/ntkrnlmp.pdb")).unwrap() {
        let folder = folder.unwrap().path();
        let id = folder.file_name().unwrap().to_str().unwrap();
        let (guid, age) = id.split_at(32);
        let name = format!("{guid}-{age}.json.xz");
        for place in ["symbols/kernels", "symbols/isf/ntkrnlmp.pdb"] {
            let file = material.join(place).join(&name);
            if file.is_file() {
                pairs.push((folder.join("ntkrnlmp.pdb"), file));
            }
        }
    }
    pairs.push((material.join("real/xp_sp3_ntkrnlpa.pdb"), material.join("real/xp_sp3_ntkrnlpa.json.xz")));
    assert!(pairs.len() >= 4, "{pairs:?}");
    for (pdb, isf) in pairs {
        let (one, other) = (symbols::load(&pdb, None, &wanted).unwrap(), symbols::load(&isf, None, &wanted).unwrap());
        assert_eq!(symbols::disagreements(&one, &other, &wanted), [""; 0], "{}", isf.display());
        let mut fields = 0;
        for (structure, path) in &wanted.fields {
            let (one, other) = (one.field(structure, path).is_ok(), other.field(structure, path).is_ok());
            assert_eq!(one, other, "{}: {structure}.{path}", isf.display());
            fields += usize::from(one);
        }
        assert!(fields > 80, "{}: {fields}", isf.display());
    }
}
