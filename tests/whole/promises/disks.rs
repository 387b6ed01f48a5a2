//! Unusual disks: with rules of their own for names, pulled without a word, read-only. Each is an
//! image, mounted where only the test sees it.

use super::{all_bytes_below, has};
use crate::support::content::{Spec, Torrent, tree};
use crate::support::network::{again, installed, skip};
use crate::support::peer::Seed;
use crate::support::program::Storrent;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const INSIDE: &str = "STORRENT_TEST_MOUNT";

/// Runs `body` with a folder in which the shell's line `mount`, run there, made the image
/// `disk.img` and mounted it at `disk`.
fn on(name: &str, programs: &[&str], mount: &str, body: impl FnOnce(&Path)) {
    let name = format!("promises::disks::{name}");
    if let Some(dir) = std::env::var_os(INSIDE) {
        return body(&PathBuf::from(dir));
    }
    if let Some(program) = programs.iter().find(|program| !installed(program)) {
        return skip(&name, &format!("{program} is not installed"));
    }
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().to_str().unwrap();
    // A disk in user space ends with its mount, and the loop device with the last one.
    let enter = format!("cd '{path}' && mkdir disk && truncate -s 64M disk.img && {mount}");
    again(&name, "--mount", &enter, (INSIDE, path));
}

/// Downloads all of `torrent` to `dir`, then finds it there again: by the path that `--on-complete`
/// hears, by a check, by a seed, and by a resume that fetches nothing. Returns the warnings of the
/// download.
fn fetched_and_found(torrent: &Arc<Torrent>, work: &Path, dir: &Path) -> String {
    let file = torrent.save(work);
    let seed = Seed::of(torrent).budget(torrent.blocks() / 2).start();
    let mut run = Storrent::download(dir)
        .arg(&file)
        .peers(&[seed.addr])
        .start();
    has(&mut run, 1);
    run.kill(Signal::INT);
    let first = run.wait().expect(130);
    let seed = Seed::of(torrent).start();
    let end = Storrent::download(dir)
        .arg(&file)
        .peers(&[seed.addr])
        .args(["--on-complete", "echo \"$STORRENT_PATH\""])
        .run()
        .expect(0);
    let mut told = end.stderr.lines().map(Path::new);
    assert!(
        told.any(|path| path.starts_with(dir) && path.exists()),
        "{end:#?}"
    );
    assert!(
        end.one("checked")["have_pieces"].as_u64() > Some(0),
        "{end:#?}"
    );
    all_bytes_below(torrent, dir);
    assert_eq!(
        tree(dir).len(),
        torrent.real_files().count(),
        "{:?}",
        tree(dir)
    );
    let check = Storrent::new()
        .args(["check", "-d"])
        .arg(dir)
        .arg(&file)
        .run();
    check.expect(0);
    let seeding = Storrent::seed(dir)
        .args(["--seed-time", "0.01"])
        .arg(&file)
        .run();
    seeding.expect(0);
    seed.notes();
    Storrent::download(dir)
        .arg(&file)
        .peers(&[seed.addr])
        .run()
        .expect(0);
    assert_eq!(seed.requests(), [], "all was there");
    first.stderr
}

fn odd_names() -> Arc<Torrent> {
    let long = "n".repeat(200);
    let files = [
        ("a: what?.txt", 50_000),
        ("Live at ...", 40_000),
        ("Live \"there\"/x", 50_000),
        ("Live \"there\"/y.", 30_000),
        ("trailing ", 20_000),
        (&*long, 20_000),
        ("plain", 70_000),
    ];
    Spec::multi("set", &files).piece_length(32 << 10).build()
}

#[test]
fn names_that_ntfs_refuses() {
    let mount =
        "mkfs.ntfs -F -q disk.img >/dev/null 2>&1 && ntfs-3g -o windows_names disk.img disk";
    on("names_that_ntfs_refuses", &["ntfs-3g"], mount, |dir| {
        let warned = fetched_and_found(&odd_names(), dir, &dir.join("disk"));
        assert!(warned.contains("a: what?.txt"), "{warned}");
        assert!(warned.contains("a_ what_.txt"), "{warned}");
        let root = Spec::single("what: a film?", 100_000).build();
        fs::create_dir(dir.join("disk/single")).unwrap();
        fetched_and_found(&root, dir, &dir.join("disk/single"));
    });
}

fn twins() -> Arc<Torrent> {
    let files = [
        ("Song.mp3", 50_000),
        ("song.mp3", 60_000),
        ("Band/One.flac", 40_000),
        ("band/one.flac", 40_000),
        ("Notes", 30_000),
        ("notes/x", 30_000),
        ("end", 20_000),
        ("end.", 20_000),
    ];
    Spec::multi("set", &files).piece_length(32 << 10).build()
}

#[test]
fn two_names_that_a_disk_takes_for_one() {
    let mount =
        "mkfs.ntfs -F -q disk.img >/dev/null 2>&1 && lowntfs-3g -o ignore_case disk.img disk";
    on(
        "two_names_that_a_disk_takes_for_one",
        &["lowntfs-3g"],
        mount,
        |dir| {
            fetched_and_found(&twins(), dir, &dir.join("disk"));
        },
    );
}

#[test]
fn a_disk_without_holes() {
    let mount = "mkfs.exfat disk.img >/dev/null 2>&1 && mount.exfat-fuse $(losetup -f --show disk.img) disk >/dev/null 2>&1 && losetup -D";
    on(
        "a_disk_without_holes",
        &["mkfs.exfat", "mount.exfat-fuse"],
        mount,
        |dir| {
            let torrent = Spec::multi("set", &[("a", 300_000), ("A: b", 200_000), ("c", 900)])
                .piece_length(64 << 10);
            fetched_and_found(&torrent.build(), dir, &dir.join("disk"));
        },
    );
}

/// Copies the whole disk while a run writes to it, and right after the run was interrupted, as if a
/// stick were pulled then.
#[test]
fn a_disk_that_is_pulled() {
    // Written back late: little reaches the disk by itself.
    let mount =
        "mkfs.ext4 -q -F disk.img && mount -o loop,commit=300,noauto_da_alloc disk.img disk";
    on("a_disk_that_is_pulled", &["mkfs.ext4"], mount, |dir| {
        let torrent = Spec::multi("set", &[("a", 3_000_000), ("b", 5_000_000)])
            .piece_length(64 << 10)
            .build();
        let file = torrent.save(dir);
        let disk = dir.join("disk");
        let seed = Seed::of(&torrent).budget(torrent.blocks() * 2 / 3).start();
        let mut run = Storrent::download(&disk)
            .arg(&file)
            .peers(&[seed.addr])
            .start();
        has(&mut run, torrent.payload() / 2);
        fs::copy(dir.join("disk.img"), dir.join("running.img")).unwrap();
        run.kill(Signal::INT);
        run.wait().expect(130);
        fs::copy(dir.join("disk.img"), dir.join("left.img")).unwrap();
        for (image, kept) in [("running.img", false), ("left.img", true)] {
            let there = dir.join(format!("{image}.disk"));
            fs::create_dir(&there).unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-o", "loop"]).arg(dir.join(image)).arg(&there);
            assert!(mount.status().unwrap().success(), "{image}");
            let seed = Seed::of(&torrent).start();
            let end = Storrent::download(&there)
                .arg(&file)
                .peers(&[seed.addr])
                .run()
                .expect(0);
            torrent.assert_bytes(&there);
            let had = end.one("checked")["have_pieces"].as_u64();
            assert!(
                !kept || had > Some(40),
                "{image}: what was said to be there, was: {end:#?}"
            );
        }
    });
}

/// Whole data on a read-only disk: nothing need be written.
#[test]
fn a_read_only_disk() {
    on(
        "a_read_only_disk",
        &["mkfs.ext4"],
        "mkfs.ext4 -q -F disk.img && mount -o loop disk.img disk",
        |dir| {
            let torrent =
                Spec::multi("set", &[("a", 100_000), ("empty", 0), ("b", 50_000)]).build();
            let (file, disk) = (torrent.save(dir), dir.join("disk"));
            torrent.write(&disk);
            let read_only = Command::new("mount")
                .args(["-o", "remount,ro"])
                .arg(&disk)
                .status();
            assert!(read_only.unwrap().success());
            let end = Storrent::download(&disk).arg(&file).run().expect(0);
            assert!(end.all("warning").is_empty(), "{end:#?}");
            Storrent::new()
                .args(["check", "-d"])
                .arg(&disk)
                .arg(&file)
                .run()
                .expect(0);
            Storrent::seed(&disk)
                .args(["--seed-time", "0.01"])
                .arg(&file)
                .run()
                .expect(0);
            // For incomplete data, an error says why it can't be completed.
            let rival = Spec::multi("other", &[("a", 100_000)]).build();
            let end = Storrent::download(&disk)
                .arg(rival.save(dir))
                .run()
                .expect(1);
            assert!(
                end.stderr
                    .contains("change the permissions or choose another --dir"),
                "{end:#?}"
            );
        },
    );
}
