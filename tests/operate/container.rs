//! The image of `deploy/docker`, without a container engine: its root is put
//! together by the steps of the Dockerfile and run as an engine would run it. What
//! only an engine does (layers, a registry, its network) is not seen here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::command::{bound_command, find};
use crate::support::server::new_directory;
use crate::support::skip;

const SECRET: &str = "d4d7f0c3a1b94e0c8f5e2b6a79c81d35";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Instruction and arguments, by stage.
fn stages() -> Vec<Vec<(String, String)>> {
    let text = fs::read_to_string(repository("deploy/docker/Dockerfile")).expect("the Dockerfile");
    let mut stages = Vec::new();
    for line in text.replace("\\\n", " ").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').expect("an instruction");
        if word == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("FROM comes first").push((word.to_owned(), rest.to_owned()));
    }
    stages
}

/// The arguments of these instructions.
fn all<'a>(stage: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    stage.iter().filter(|(known, _)| known == word).map(|(_, rest)| rest.as_str()).collect()
}

fn succeeds(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

/// Whether this machine can do what an engine does.
fn can_contain() -> bool {
    for tool in ["unshare", "setpriv", "ip"] {
        if find(tool).is_none() {
            skip(tool, "not installed (Debian: apt-get install util-linux iproute2)");
            return false;
        }
    }
    if !rustix::process::geteuid().is_root() {
        skip("container", "mounts take root");
        return false;
    }
    true
}

/// Puts the image's root together from a finished build stage at `built`, and
/// runs it.
fn run(built: &Path) {
    let stages = stages();
    let image = stages.last().expect("a stage");
    assert_eq!(all(image, "FROM"), ["scratch"]);
    let root = built.join("image");
    fs::create_dir(&root).expect("made");
    for copy in all(image, "COPY") {
        let paths: Vec<_> = copy.split(' ').filter(|word| !word.starts_with("--")).collect();
        let [from, to] = paths[..] else { panic!("{copy}") };
        assert!(copy.contains("--from=build"), "{copy}");
        let (from, to) = (built.join(&from[1..]), root.join(&to[1..]));
        fs::create_dir_all(if copy.ends_with('/') { &to } else { to.parent().expect("a folder") })
            .expect("made");
        let from = if from.is_dir() { from.join(".") } else { from };
        succeeds(Command::new("cp").arg("-a").arg(from).arg(to));
    }
    let [user] = all(image, "USER")[..] else { panic!("a USER") };
    let (user, group) = user.split_once(':').expect("a user and a group");
    assert!(user == group && user.parse::<u32>().expect("a number") > 0, "{user}");
    let [volume] = all(image, "VOLUME")[..] else { panic!("a VOLUME") };
    let volume = volume.trim_matches(['[', ']', '"']);
    assert_eq!(all(image, "ENTRYPOINT"), [r#"["/floe"]"#]);
    assert_eq!(all(image, "CMD"), [r#"["serve"]"#]);
    assert_eq!(all(image, "STOPSIGNAL"), ["SIGTERM"]);
    assert!(all(image, "HEALTHCHECK")[0].ends_with(r#"CMD ["/floe", "healthcheck"]"#));
    let configuration = built.join("floe.toml");
    fs::write(&configuration, format!("[auth]\nsecrets = [\"{SECRET}\"]\n")).expect("written");
    let output = bound_command("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"])
        .arg(repository("tests/operate/container.sh"))
        .arg(&root)
        .args([user, volume])
        .arg(&configuration)
        .args(all(image, "ENV"))
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("all seen"), "{said}");
    fs::remove_dir_all(built).expect("removed");
}

/// The steps of the build stage that make files and compile nothing, below `built`.
fn furnish(built: &Path) {
    for step in all(&stages()[0], "RUN").into_iter().filter(|step| step.starts_with("mkdir")) {
        let below = step.replace(" /", &format!(" {}/", built.display()));
        succeeds(Command::new("sh").args(["-ec", &below]));
    }
    let roots = built.join("etc/ssl/certs");
    fs::create_dir_all(&roots).expect("made");
    // What ca-certificates brings.
    let here = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let content = fs::read(here).unwrap_or_default();
    fs::write(roots.join("ca-certificates.crt"), content).expect("written");
}

/// The binary of this build is no static one: what it loads lies beside it.
#[test]
fn it_runs_from_nothing_as_nobody_and_writes_nowhere() {
    if !can_contain() {
        return;
    }
    let built = new_directory();
    // Others must reach the root.
    succeeds(Command::new("chmod").arg("711").arg(&built));
    furnish(&built);
    fs::copy(env!("CARGO_BIN_EXE_floe"), built.join("floe")).expect("copied");
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_floe")).output().expect("ldd runs");
    for word in
        String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|word| word.starts_with('/'))
    {
        let to = built.join("empty").join(&word[1..]);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::copy(word, to).expect("copied");
    }
    run(&built);
}

#[test]
#[ignore = "slow: compiles floe and OpenSSL once more, for minutes"]
fn the_steps_of_the_dockerfile_make_a_static_binary_that_runs() {
    if !can_contain() {
        return;
    }
    let stages = stages();
    let stage = &stages[0];
    let (built, source) = (new_directory(), new_directory());
    succeeds(Command::new("chmod").arg("711").arg(&built));
    for copy in all(stage, "COPY") {
        let mut paths: Vec<_> = copy.split(' ').collect();
        let to = source.join(paths.pop().expect("a destination"));
        for from in paths {
            succeeds(Command::new("cp").arg("-a").arg(repository(from)).arg(&to));
        }
    }
    // What is compiled is kept for the next time.
    let target = repository("target/container");
    fs::create_dir_all(&target).expect("made");
    std::os::unix::fs::symlink(target, source.join("target")).expect("linked");
    let environment = all(stage, "ENV").into_iter().map(|pair| {
        let (name, value) = pair.split_once('=').expect("a variable");
        (name, value.trim_matches('"'))
    });
    let environment: Vec<_> = environment.collect();
    for step in
        all(stage, "RUN").into_iter().filter(|step| step.starts_with("cargo") || step.starts_with("cp "))
    {
        let below = step.replace(" /floe", &format!(" {}/floe", built.display()));
        succeeds(
            bound_command("sh")
                .args(["-ec", &below])
                .current_dir(&source)
                .envs(environment.iter().copied())
                // The same program, sooner.
                .envs([("CARGO_PROFILE_DIST_LTO", "off"), ("CARGO_PROFILE_DIST_CODEGEN_UNITS", "16")])
                .env("CARGO_PROFILE_DIST_OPT_LEVEL", "0"),
        );
    }
    furnish(&built);
    let linked = Command::new("ldd").arg(built.join("floe")).output().expect("ldd runs");
    let linked = String::from_utf8_lossy(&[&linked.stdout[..], &linked.stderr].concat()).into_owned();
    assert!(linked.contains("statically linked"), "{linked}");
    fs::remove_dir_all(source).expect("removed");
    run(&built);
}
