//! `docs/rules.md` says what the rules say.

use std::path::Path;

#[test]
fn the_page_of_rules_is_made_from_the_rules() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let page = ntmem::report::rules_page();
    if std::env::var_os("NTMEM_WRITE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap().replace("\r\n", "\n");
    let differ = page.lines().zip(written.lines()).find(|(made, found)| made != found);
    assert!(page == written, "docs/rules.md is old; NTMEM_WRITE=1 writes it anew; first difference: {differ:?}");
}

#[test]
fn every_rule_is_whole() {
    let mut ids = std::collections::BTreeSet::new();
    for rule in ntmem::checks::rules() {
        assert!(ids.insert(rule.id), "{} twice", rule.id);
        assert_ne!(rule.title, rule.wrong, "{}", rule.id);
        let about = rule.about;
        for text in [about.what, about.why, about.source] {
            assert!(text.ends_with('.'), "{}: {text}", rule.id);
        }
        assert!(about.benign.is_empty() || about.benign.ends_with('.'), "{}: {}", rule.id, about.benign);
        assert!(!format!("{about:?}").contains("  "), "{}: two blanks", rule.id);
    }
    assert!(ids.len() > 50, "{}", ids.len());
}
