//! Real proxies, as Debian has them. Only they know the names of a list.

use super::clients::Process;
use super::until;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    /// SOCKS5.
    Dante,
    /// SOCKS5.
    Microsocks,
    /// The same, for user `me` with the password `p@ss:word` only.
    MicrosocksWithPassword,
    /// HTTP, with Debian's rules: CONNECT to port 443 only.
    Squid,
    /// HTTP, CONNECT to any port.
    Tinyproxy,
    /// The same, for user `me` with the password `secret` only (it takes no signs in one).
    TinyproxyWithPassword,
}

impl Kind {
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Dante => "/usr/sbin/danted",
            Self::Microsocks | Self::MicrosocksWithPassword => "microsocks",
            Self::Squid => "/usr/sbin/squid",
            Self::Tinyproxy | Self::TinyproxyWithPassword => "tinyproxy",
        }
    }

    /// Its URL at this address, with its password, if it wants one.
    pub(crate) fn url(self, address: &str, port: u16) -> String {
        match self {
            Self::Dante => format!("socks5h://{address}:{port}"),
            Self::Microsocks => format!("socks5://{address}:{port}"),
            Self::MicrosocksWithPassword => {
                format!("socks5h://me:p%40ss%3Aword@{address}:{port}")
            }
            Self::Squid | Self::Tinyproxy => format!("http://{address}:{port}"),
            Self::TinyproxyWithPassword => format!("http://me:secret@{address}:{port}"),
        }
    }
}

/// A running proxy. Dropped, it is killed, and nobody listens there any more.
pub(crate) struct RealProxy {
    process: Process,
    home: PathBuf,
    address: (String, u16),
}

impl RealProxy {
    /// Starts one at `address`:`port`. `home` is a folder; `hosts` are the names that it knows,
    /// lines of `/etc/hosts`.
    pub(crate) fn start(kind: Kind, home: &Path, hosts: &str, address: &str, port: u16) -> Self {
        fs::create_dir_all(home).unwrap();
        // Some give up root's rights before they write.
        for folder in [home, home.parent().unwrap()] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let names = home.join("hosts");
        fs::write(&names, hosts).unwrap();
        let (config, args) = settings(kind, home, address, port);
        fs::write(home.join("config"), config).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
            .arg(names)
            .arg(kind.program())
            .args(args)
            // Some are several processes, which must end together.
            .process_group(0);
        let process = Process::start(&mut command, &home.join("log"));
        let proxy = Self {
            process,
            home: home.into(),
            address: (address.into(), port),
        };
        proxy.wait_listens(true);
        proxy
    }

    /// No event tells when it begins or ends to listen.
    fn wait_listens(&self, listens: bool) {
        let (address, port) = &self.address;
        let done = until(|| TcpStream::connect((address.as_str(), *port)).is_ok() == listens);
        let log = || fs::read_to_string(self.home.join("log"));
        assert!(done, "{}: {:?}", self.home.display(), log());
    }

    /// The requests that squid has served, a line each.
    pub(crate) fn requests(&self) -> String {
        fs::read_to_string(self.home.join("access")).unwrap_or_default()
    }
}

impl Drop for RealProxy {
    fn drop(&mut self) {
        self.process.kill_group();
        if !thread::panicking() {
            self.wait_listens(false);
        }
    }
}

fn settings(kind: Kind, home: &Path, address: &str, port: u16) -> (String, Vec<String>) {
    let words = |line: String| line.split(' ').map(String::from).collect();
    let config = home.join("config").display().to_string();
    let home = home.display();
    let tinyproxy = format!("Port {port}\nListen {address}\nTimeout 60\nMaxClients 100\n");
    match kind {
        Kind::Dante => (
            format!(
                "logoutput: stderr\ninternal: {address} port = {port}\nexternal: {address}\n\
                 clientmethod: none\nsocksmethod: none\n\
                 user.privileged: root\nuser.unprivileged: nobody\n\
                 client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n\
                 socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n"
            ),
            words(format!("-f {config}")),
        ),
        Kind::Microsocks => (String::new(), words(format!("-i {address} -p {port}"))),
        Kind::MicrosocksWithPassword => (
            String::new(),
            words(format!("-i {address} -p {port} -u me -P p@ss:word")),
        ),
        Kind::Squid => (
            format!(
                "http_port {address}:{port}\n\
                 acl SSL_ports port 443\nacl Safe_ports port 80 443 1025-65535\n\
                 http_access deny !Safe_ports\nhttp_access deny CONNECT !SSL_ports\n\
                 http_access allow all\n\
                 pid_filename none\ncache_log {home}/cache\ncoredump_dir {home}\n\
                 access_log stdio:{home}/access\nlogfile_rotate 0\nvisible_hostname proxy\nshutdown_lifetime 0 seconds\n"
            ),
            // Two of one name would share memory.
            words(format!("-N -n test{} -f {config}", std::process::id())),
        ),
        Kind::Tinyproxy => (tinyproxy, words(format!("-d -c {config}"))),
        Kind::TinyproxyWithPassword => (
            tinyproxy + "BasicAuth me secret\n",
            words(format!("-d -c {config}")),
        ),
    }
}
