//! Fetching, against a server on this machine that behaves well and in all the ways in which servers do not.

use crate::made::{GUID, Made};
use crate::server::{Request, head, send, serve};
use ntmem::PdbInfo;
use ntmem::symbols::{Server, SymbolError, SymbolStore, Symbols, Wanted};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// How long a server may be silent before it is given up, where it is silent until the client has gone.
const SILENCE: Duration = Duration::from_secs(2);
/// The same where every server answers, if the machine gives it a moment: it must never pass.
const PATIENCE: Duration = Duration::from_secs(600);

fn needed() -> PdbInfo {
    PdbInfo { name: "ntkrnlmp.pdb".into(), guid: GUID.into(), age: 3 }
}

fn wanted() -> Wanted {
    Wanted { globals: vec!["Head"], ..Wanted::default() }
}

fn place() -> String {
    format!("ntkrnlmp.pdb/{GUID}3/ntkrnlmp.pdb")
}

/// A PDB whose header tells its length, as those of real servers do; long enough to break off within.
fn pdb() -> Vec<u8> {
    let mut pdb = Made { publics: vec![(1, 0x10, "Head")], ..Made::default() }.pdb();
    pdb.resize(256 << 10, 0x5a);
    let pages = pdb.len() as u32 / 512;
    pdb[0x28..0x2c].copy_from_slice(&pages.to_le_bytes());
    pdb
}

/// A server of symbols.
struct Local {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    silent: bool,
}

/// Where the wanted part begins, if a part is wanted.
fn wanted_from(request: &Request) -> Option<usize> {
    request.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

impl Local {
    fn new(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let (address, requests) = serve(answer);
        Self { url: format!("http://{address}/symbols"), requests, silent: false }
    }

    /// Answers for the PDB alone; nothing else is there.
    fn of_pdb(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::new(move |request, stream| {
            if request.path.ends_with("/ntkrnlmp.pdb") {
                answer(request, stream)
            } else {
                head(stream, "404 Not Found", "")
            }
        })
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn server(&self, keep: &Path) -> Server {
        let silence = if self.silent { SILENCE } else { PATIENCE };
        Server::new(&self.url).keep_in(keep).timeout(silence).attempts(3).backoff(Duration::from_millis(1))
    }

    /// With a client that does not wait for long.
    fn silent(self) -> Self {
        Self { silent: true, ..self }
    }

    /// Looks for the symbols on this server alone.
    fn find(&self, keep: &TempDir) -> Result<Symbols, String> {
        let store = SymbolStore::new().server(self.server(keep.path()));
        store.find(&needed(), &wanted()).map_err(|error| {
            let SymbolError::Missing { tried, .. } = &error else { panic!("{error}") };
            tried.join("\n")
        })
    }

    /// What went wrong; nothing was kept.
    fn fails(&self, words: &str) {
        let keep = tempfile::tempdir().unwrap();
        let why = self.find(&keep).unwrap_err();
        assert!(why.contains(words), "{words} is not in:\n{why}");
        assert!(why.contains(&format!("{}/{}: ", self.url, place())), "{why}");
        assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 0, "{why}");
    }

    /// The symbols are found, and the file is what it should be.
    fn serves(&self) {
        let keep = tempfile::tempdir().unwrap();
        let symbols = self.find(&keep).unwrap();
        assert_eq!(symbols.global("Head").unwrap(), 0x1010);
        assert_eq!(symbols.file, Some(keep.path().join(place())));
        assert!(fs::read(keep.path().join(place())).unwrap() == pdb());
        assert_eq!(fs::read_dir(keep.path().join(place()).parent().unwrap()).unwrap().count(), 1);
    }
}

fn whole(stream: &mut TcpStream, bytes: &[u8]) {
    head(stream, "200 OK", &format!("Content-Length: {}\r\n", bytes.len()));
    send(stream, bytes);
}

/// The part from `from`, but only up to `to`.
fn part(stream: &mut TcpStream, bytes: &[u8], from: usize, to: usize, headers: &str) {
    let (end, length) = (bytes.len() - 1, bytes.len());
    let range = format!("Content-Length: {}\r\nContent-Range: bytes {from}-{end}/{length}\r\n", length - from);
    head(stream, "206 Partial Content", &format!("{range}{headers}"));
    send(stream, &bytes[from..to]);
}

/// All of it announced, and only so much sent.
fn begin(stream: &mut TcpStream, bytes: &[u8], to: usize, headers: &str) {
    head(stream, "200 OK", &format!("Content-Length: {}\r\n{headers}", bytes.len()));
    send(stream, &bytes[..to]);
}

/// Sends nothing until the client gives up.
fn until_gone(stream: &mut TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn what_is_fetched_is_kept_and_found_again_without_the_server() {
    let local = Local::of_pdb(|_, stream| whole(stream, &pdb()));
    local.serves();
    assert_eq!(local.requests(), [format!("/symbols/{}", place())]);
    let keep = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watched = Arc::clone(&seen);
    let store = SymbolStore::new()
        .server(local.server(keep.path()))
        .directory(keep.path())
        .on_fetch(move |fetching| watched.lock().unwrap().push((fetching.received, fetching.total)));
    assert!(store.find(&needed(), &wanted()).is_ok());
    let length = pdb().len() as u64;
    assert_eq!(seen.lock().unwrap().last(), Some(&(length, Some(length))));
    // A second time, though the server was named before the folder.
    assert!(store.find(&needed(), &wanted()).is_ok());
    assert_eq!(local.requests().len(), 2);
}

#[test]
fn nothing_is_contacted_unasked() {
    let local = Local::of_pdb(|_, stream| whole(stream, &pdb()));
    let folder = tempfile::tempdir().unwrap();
    let path = format!("srv*{}*{}", folder.path().display(), local.url);
    let none = SymbolStore::new().directory(folder.path());
    assert!(none.find(&needed(), &wanted()).is_err());
    let offline = SymbolStore::new().nt_symbol_path(&path).server(local.server(folder.path())).offline();
    let error = offline.find(&needed(), &wanted()).unwrap_err().to_string();
    assert!(error.contains(&format!("{}: a server: not asked", local.url)), "{error}");
    // Naming a server contacts nobody; nor does finding the symbols here.
    let named = SymbolStore::new().nt_symbol_path(&path);
    fs::create_dir_all(folder.path().join(place()).parent().unwrap()).unwrap();
    fs::write(folder.path().join(place()), pdb()).unwrap();
    assert!(named.find(&needed(), &wanted()).is_ok());
    // Names out of an image that are none.
    for name in ["..", "../ntkrnlmp.pdb/..", "c:x", ""] {
        assert!(named.find(&PdbInfo { name: name.into(), ..needed() }, &wanted()).is_err(), "{name}");
    }
    assert_eq!(local.requests(), Vec::<String>::new());
}

#[test]
fn a_debuggers_path_keeps_what_is_fetched_where_a_debugger_would() {
    let local = Local::of_pdb(|_, stream| whole(stream, &pdb()));
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (one.path().display(), two.path().display());
    for path in [
        format!("SRV*{first}*{second}*{}", local.url),
        format!("symsrv*symsrv.dll*{first}*{}", local.url),
        format!("Cache*{first};srv*{}", local.url),
    ] {
        let found = SymbolStore::new().nt_symbol_path(&path).find(&needed(), &wanted()).unwrap();
        assert_eq!(found.file, Some(one.path().join(place())), "{path}");
        fs::remove_file(one.path().join(place())).unwrap();
    }
    assert_eq!(fs::read_dir(two.path()).unwrap().count(), 0);
    let store = SymbolStore::new().nt_symbol_path("srv*ftp://127.0.0.1:9/symbols");
    let error = store.find(&needed(), &wanted()).unwrap_err().to_string();
    assert!(error.contains("neither an http:// nor an https:// address"), "{error}");
}

#[test]
fn what_is_not_there_is_said() {
    let local = Local::new(|_, stream| head(stream, "404 Not Found", ""));
    local.fails("not there (HTTP 404)");
    let folder = format!("/symbols/ntkrnlmp.pdb/{GUID}3");
    let mut asked = vec![format!("{folder}/ntkrnlmp.pdb")];
    if cfg!(feature = "compressed-symbols") {
        asked.push(format!("{folder}/ntkrnlmp.pd_"));
    }
    asked.push(format!("{folder}/file.ptr"));
    // Nothing is asked twice.
    assert_eq!(local.requests(), asked);
    Local::new(|_, stream| head(stream, "403 Forbidden", "")).fails("refused (HTTP 403)");
    // Nobody listens: that is final too.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keep = tempfile::tempdir().unwrap();
    let store = SymbolStore::new().server(Server::new(format!("http://{gone}")).keep_in(keep.path()));
    assert!(store.find(&needed(), &wanted()).unwrap_err().to_string().to_lowercase().contains("refused"));
}

#[test]
fn a_busy_server_is_asked_again() {
    Local::of_pdb(|request, stream| match request.number {
        0 | 1 => head(stream, "503 Service Unavailable", ""),
        _ => whole(stream, &pdb()),
    })
    .serves();
    let broken = Local::new(|_, stream| head(stream, "500 Internal Server Error", ""));
    broken.fails("HTTP 500 (attempts: 3");
    // And then not for anything else.
    assert_eq!(broken.requests(), vec![format!("/symbols/{}", place()); 3]);
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke_off() {
    for validator in ["ETag: \"one\"\r\n", "Last-Modified: Tue, 03 Mar 2026 10:00:00 GMT\r\n"] {
        for stalls in [false, true] {
            let local = Local::of_pdb(move |request, stream| match (wanted_from(request), request.number) {
                (None, 0) => {
                    begin(stream, &pdb(), 100_000, validator);
                    if stalls {
                        until_gone(stream);
                    }
                }
                (Some(100_000), 1) => {
                    assert!(validator.contains(&request.headers["if-range"]));
                    part(stream, &pdb(), 100_000, 150_000, validator);
                }
                (Some(150_000), 2) => part(stream, &pdb(), 150_000, pdb().len(), validator),
                (from, number) => panic!("request {number} from {from:?}"),
            });
            let local = if stalls { local.silent() } else { local };
            local.serves();
            assert_eq!(local.requests().len(), 3);
        }
    }
}

#[test]
fn halves_of_different_files_do_not_become_one() {
    // The server does not do parts.
    Local::of_pdb(|request, stream| match request.number {
        0 => begin(stream, &pdb(), 100_000, "ETag: \"one\"\r\n"),
        _ => whole(stream, &pdb()),
    })
    .serves();
    // The server does not say which version it sends, or not so that it could be told from another.
    for validator in ["", "ETag: W/\"one\"\r\n"] {
        Local::of_pdb(move |request, stream| match (wanted_from(request), request.number) {
            (None, 0) => begin(stream, &vec![0xcc; pdb().len()], 100_000, validator),
            (None, _) => whole(stream, &pdb()),
            (Some(_), _) => panic!("there is nothing to go on with"),
        })
        .serves();
    }
    // It sends another version all the same, or another part, or has none.
    for odd in 0..3 {
        Local::of_pdb(move |request, stream| match (wanted_from(request), odd) {
            (None, _) if request.number == 0 => begin(stream, &vec![0xcc; pdb().len()], 100_000, "ETag: \"one\"\r\n"),
            (None, _) => whole(stream, &pdb()),
            (Some(from), 0) => part(stream, &pdb(), from, pdb().len(), "ETag: \"two\"\r\n"),
            (Some(from), 1) => part(stream, &pdb(), from + 1, pdb().len(), "ETag: \"one\"\r\n"),
            (Some(_), _) => head(stream, "416 Range Not Satisfiable", ""),
        })
        .serves();
    }
}

#[test]
fn a_server_that_never_finishes_is_given_up() {
    Local::new(|_, stream| until_gone(stream)).silent().fails("the server is silent (attempts: 3");
    Local::of_pdb(|_, stream| {
        begin(stream, &pdb(), 100_000, "");
        until_gone(stream);
    })
    .silent()
    .fails("the server is silent (attempts: 3; bytes received: 100000)");
    // Always the same half.
    Local::of_pdb(|_, stream| begin(stream, &pdb(), 100_000, "")).fails("attempts: 3");
}

#[test]
fn a_wrong_length_is_noticed() {
    let longer = |stream: &mut TcpStream| {
        head(stream, "200 OK", &format!("Content-Length: {}\r\n", pdb().len() + 5000));
        send(stream, &pdb());
    };
    Local::of_pdb(move |_, stream| longer(stream)).fails("attempts: 3");
    let length = pdb().len();
    let cut = pdb()[..length - 100].to_vec();
    Local::of_pdb(move |_, stream| whole(stream, &cut))
        .fails(&format!("fetched, and not kept: it has {} bytes of {length}", length - 100));
    // Without a length, a connection that ends early looks like the end of the file.
    Local::of_pdb(|_, stream| {
        send(stream, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        send(stream, &pdb()[..100_000]);
    })
    .fails(&format!("it has 100000 bytes of {length}"));
}

#[test]
fn another_kernels_pdb_is_not_kept() {
    let other: Vec<u8> = pdb();
    // The GUID as it stands in the file.
    let guid = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    let at = other.windows(16).position(|bytes| bytes == guid).unwrap();
    let mut wrong = other.clone();
    wrong[at + 15] = 0xfe;
    Local::of_pdb(move |_, stream| whole(stream, &wrong))
        .fails("fetched, and not kept: it is of another build: GUID 00112233445566778899AABBCCDDEEFE, age 3");
    let mut broken = other;
    broken[0x34..0x38].fill(0xff);
    Local::of_pdb(move |_, stream| whole(stream, &broken)).fails("fetched, and not kept: ");
}

#[test]
fn garbage_is_not_kept() {
    Local::of_pdb(|_, stream| whole(stream, b"<html>please log in</html>")).fails("neither a PDB");
    Local::of_pdb(|_, stream| whole(stream, b"")).fails("neither a PDB");
    Local::of_pdb(|_, stream| send(stream, &[0xa5; 300])).fails(": ");
    Local::of_pdb(|_, stream| {
        head(stream, "200 OK", &format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", pdb().len()));
        send(stream, &pdb());
    })
    .fails("packed it in a way");
}

#[test]
fn too_much_is_not_taken() {
    let sent = Arc::new(Mutex::new(0usize));
    let counter = Arc::clone(&sent);
    let endless = Local::of_pdb(move |_, stream| {
        send(stream, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[0; 4096]).is_ok() {
            *counter.lock().unwrap() += 4096;
        }
    });
    let keep = tempfile::tempdir().unwrap();
    let store = SymbolStore::new().server(endless.server(keep.path()).max_bytes(1 << 20));
    let error = store.find(&needed(), &wanted()).unwrap_err().to_string();
    assert!(error.contains("it has more than 1048576 bytes"), "{error}");
    // Some more is under way when the client has had enough.
    assert!(*sent.lock().unwrap() < 64 << 20);
    let announced = Local::of_pdb(|_, stream| head(stream, "200 OK", "Content-Length: 99999999999\r\n"));
    announced.fails("it has more than 536870912 bytes");
    assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 0);
}

#[test]
fn redirects_are_followed_to_an_end() {
    let local = Local::new(|request, stream| {
        let to = format!("/elsewhere{}", request.path);
        match request.path.strip_prefix("/elsewhere") {
            None => head(stream, "302 Found", &format!("Location: {to}\r\n")),
            Some(_) => whole(stream, &pdb()),
        }
    });
    local.serves();
    let circle = Local::of_pdb(|request, stream| head(stream, "302 Found", &format!("Location: {}\r\n", request.path)));
    circle.fails("it leads to more than 5 other addresses");
    assert!(circle.requests().len() < 12, "{:?}", circle.requests());
}

#[test]
fn a_server_may_say_where_else_a_file_is() {
    let real = Local::new(|_, stream| whole(stream, &pdb()));
    let target = format!("{}/over/there.pdb", real.url);
    let pointer = move |text: String| {
        Local::new(move |request, stream| match request.path.ends_with("/file.ptr") {
            true => whole(stream, text.as_bytes()),
            false => head(stream, "404 Not Found", ""),
        })
    };
    pointer(format!("PATH:{target}\r\n")).serves();
    assert_eq!(real.requests(), ["/symbols/over/there.pdb"]);
    pointer(r"PATH:\\host\share\there.pdb".into()).fails("which is not asked");
    pointer("PATH:/etc/passwd".into()).fails("which is not asked");
    pointer("MSG: withdrawn".into()).fails("the server says: \"withdrawn\"");
    pointer("x".repeat(10_000)).fails("it has more than 4096 bytes");
}

#[cfg(feature = "compressed-symbols")]
#[test]
fn a_compressed_file_serves_too() {
    let mut builder = cab::CabinetBuilder::new();
    builder.add_folder(cab::CompressionType::MsZip).add_file("ntkrnlmp.pdb");
    let mut writer = builder.build(std::io::Cursor::new(Vec::new())).unwrap();
    while let Some(mut file) = writer.next_file().unwrap() {
        file.write_all(&pdb()).unwrap();
    }
    let packed = writer.finish().unwrap().into_inner();
    let serve = |packed: Vec<u8>| {
        Local::new(move |request, stream| match request.path.ends_with("/ntkrnlmp.pd_") {
            true => whole(stream, &packed),
            false => head(stream, "404 Not Found", ""),
        })
    };
    let keep = tempfile::tempdir().unwrap();
    let symbols = serve(packed.clone()).find(&keep).unwrap();
    assert_eq!(symbols.global("Head").unwrap(), 0x1010);
    assert_eq!(symbols.file, Some(keep.path().join(place()).with_extension("pd_")));
    serve(packed[..packed.len() - 40].to_vec()).fails("fetched, and not kept: it has");
}
