use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A directory of this test alone, gone afterwards.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!(
            "floe-test-{name}-{}-{:x}",
            std::process::id(),
            rand::random::<u64>()
        ));
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    /// Only the temporary directory is there.
    fn places(&self) -> Places {
        Places {
            state_directory: None,
            runtime_directory: None,
            temporary_directory: self.0.clone(),
            user: rustix::process::geteuid().as_raw(),
        }
    }

    fn make(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn runtime() -> Runtime {
    let (pid, start_ticks) = Runtime::this_process();
    Runtime {
        version: "0.1.0".into(),
        pid,
        start_ticks,
        started: 1_756_200_000,
        admin: Some("http://127.0.0.1:8080".into()),
        listeners: vec![Listener { transport: "udp".into(), address: "127.0.0.1:3478".into() }],
        urls: vec!["turn:127.0.0.1:3478?transport=udp".into()],
        realm: "floe".into(),
        token: "very-secret".into(),
        relay_addresses: vec!["127.0.0.1".into()],
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn what_is_written_is_found_private_and_gone_afterwards() {
    let temporary = Temporary::new("round");
    let places = temporary.places();
    assert!(find(&places).is_empty());
    let file = RuntimeFile::write(&places, &runtime()).unwrap();
    assert_eq!(mode(file.path()), 0o600);
    assert_eq!(mode(file.path().parent().unwrap()), 0o700);
    assert_eq!(find(&places), [(file.path().to_owned(), runtime())]);

    let json: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
    assert_eq!(json["relay-addresses"][0], "127.0.0.1");
    assert_eq!(json["listeners"][0]["transport"], "udp");

    let path = file.path().to_owned();
    // Nothing else was left in the directory.
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    drop(file);
    assert!(!path.exists() && find(&places).is_empty());
}

#[test]
fn the_state_directory_comes_before_the_runtime_directory_before_the_temporary_one() {
    let temporary = Temporary::new("order");
    let mut places = temporary.places();
    let directory = |places: &Places| {
        let file = RuntimeFile::write(places, &runtime()).unwrap();
        assert_eq!(find(places).len(), 1);
        file.path().parent().unwrap().to_owned()
    };
    assert_eq!(directory(&places), temporary.0.join(format!("floe-{}", places.user)));
    // A runtime directory that isn't there is passed over.
    places.runtime_directory = Some(temporary.0.join("nothing"));
    assert_eq!(directory(&places), temporary.0.join(format!("floe-{}", places.user)));
    places.runtime_directory = Some(temporary.make("run", 0o700));
    assert_eq!(directory(&places), temporary.0.join("run/floe"));
    // The state directory is made, and may be open for reading.
    places.state_directory = Some(temporary.0.join("a/state"));
    assert_eq!(directory(&places), temporary.0.join("a/state"));
    places.state_directory = Some(temporary.make("state", 0o755));
    assert_eq!(directory(&places), temporary.0.join("state"));
    // systemd's DynamicUser makes it a link.
    symlink(temporary.0.join("state"), temporary.0.join("link")).unwrap();
    places.state_directory = Some(temporary.0.join("link"));
    assert_eq!(directory(&places), temporary.0.join("link"));
}

#[test]
fn directories_of_others_are_not_trusted() {
    let temporary = Temporary::new("trust");
    let places = temporary.places();
    let own = format!("floe-{}", places.user);
    let refused = |places: &Places| {
        assert!(matches!(RuntimeFile::write(places, &runtime()), Err(WriteError::NotPrivate(_))));
        assert!(find(places).is_empty());
    };
    // Readable by others, a link somewhere else, a file.
    temporary.make(&own, 0o755);
    refused(&places);
    fs::remove_dir(temporary.0.join(&own)).unwrap();
    symlink(temporary.make("elsewhere", 0o700), temporary.0.join(&own)).unwrap();
    refused(&places);
    fs::remove_file(temporary.0.join(&own)).unwrap();
    fs::write(temporary.0.join(&own), "").unwrap();
    refused(&places);
    fs::remove_file(temporary.0.join(&own)).unwrap();
    // Of another user.
    let stranger = Places { user: places.user + 1, ..places.clone() };
    temporary.make(&format!("floe-{}", stranger.user), 0o700);
    refused(&stranger);
    // A state directory that others can write to; it is not passed over.
    let open = Places { state_directory: Some(temporary.make("open", 0o777)), ..places };
    refused(&open);
}

#[test]
fn stale_files_are_not_found_and_are_removed_by_the_next_server() {
    let temporary = Temporary::new("stale");
    let places = temporary.places();
    let file = RuntimeFile::write(&places, &runtime()).unwrap();
    let directory = file.path().parent().unwrap().to_owned();
    let write = |pid: u32, text: &str| {
        let path = directory.join(format!("run-{pid}.json"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    };
    // A process that is gone, one of the same number that is another, one that
    // was killed while it wrote, and a number that is not its own.
    let gone = write(u32::MAX, &serde_json::to_string(&Runtime { pid: u32::MAX, ..runtime() }).unwrap());
    let reused =
        write(1, &serde_json::to_string(&Runtime { pid: 1, start_ticks: u64::MAX, ..runtime() }).unwrap());
    let broken = write(u32::MAX - 1, "{");
    let bystander = directory.join("nonce-key");
    fs::write(&bystander, "x").unwrap();

    assert_eq!(find(&places).len(), 1);
    drop(file);
    let _file = RuntimeFile::write(&places, &runtime()).unwrap();
    for stale in [gone, reused, broken] {
        assert!(!stale.exists(), "{}", stale.display());
    }
    assert!(bystander.exists());
    assert_eq!(find(&places).len(), 1);
}

#[test]
fn a_file_that_others_can_read_or_that_is_a_link_is_not_believed() {
    let temporary = Temporary::new("file");
    let places = temporary.places();
    let file = RuntimeFile::write(&places, &runtime()).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(find(&places).is_empty());
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(find(&places).len(), 1);
    let moved = temporary.0.join("moved.json");
    fs::rename(file.path(), &moved).unwrap();
    symlink(&moved, file.path()).unwrap();
    assert!(find(&places).is_empty());
}

#[test]
fn the_newest_server_comes_first() {
    let temporary = Temporary::new("newest");
    let mut places = temporary.places();
    places.state_directory = Some(temporary.make("state", 0o700));
    let _old = RuntimeFile::write(&places, &Runtime { started: 1, ..runtime() }).unwrap();
    let elsewhere = temporary.places();
    let _new = RuntimeFile::write(&elsewhere, &Runtime { started: 2, ..runtime() }).unwrap();
    let started: Vec<u64> = find(&places).iter().map(|(_, runtime)| runtime.started).collect();
    assert_eq!(started, [2, 1]);
}

#[test]
fn the_token_is_not_in_the_debug_text() {
    assert!(!format!("{:?}", runtime()).contains("very-secret"));
}
