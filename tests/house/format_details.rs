//! `docs/formats.md` names the test of each detail: these tests are there.

use std::fs::read_to_string;
use std::path::Path;

#[test]
fn tests_that_the_page_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = read_to_string(root.join("docs/formats.md")).unwrap();
    let file = |name: &str| {
        let places = [format!("tests/reading/{name}.rs"), format!("src/image/{name}.rs")];
        places.into_iter().find_map(|place| read_to_string(root.join(place)).ok())
    };
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| format")) {
        let tests = line.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        let mut last = String::new();
        for name in tests.split('`').skip(1).step_by(2) {
            let (module, test) = name.split_once("::").map_or((name, None), |(module, test)| (module, Some(test)));
            let is_test = |text: &str, test: &str| text.contains(&format!("fn {test}("));
            let found = match (file(module), test) {
                (Some(text), Some(test)) => {
                    last = text;
                    is_test(&last, test)
                }
                (Some(text), None) => text.contains("#[test]"),
                // A further test of the file before.
                (None, None) => is_test(&last, name),
                (None, Some(_)) => false,
            };
            assert!(found, "{name} of: {line}");
            named += 1;
        }
        assert!(tests.contains('`'), "no test: {line}");
    }
    assert!(named > 50, "{named}");
}
