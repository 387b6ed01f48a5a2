//! The texts of `--help`. They list the options by purpose; argh's own would go by name.

/// `storrent --help`.
pub const MAIN: &str = "\
storrent: a BitTorrent client

Usage: storrent [OPTIONS] SOURCE...      download
       storrent COMMAND ...              another job (`storrent COMMAND --help`)

SOURCE is the path of a .torrent file, - (a .torrent on standard input), the
http(s):// URL of one, a magnet: link (in quotes), or a bare info hash. Several are
downloaded at the same time; storrent leaves when the last is complete. The same
command run again resumes.

Commands:
  show SOURCE            print what a torrent holds
  check TORRENT          hash what is on disk against the torrent
  create PATH            make a .torrent of a file or folder
  seed TORRENT...        check the data and serve it
  demo                   show a whole swarm on this machine, with no network
A file called like a command is given as ./show.

What to fetch, and where to:
  -d, --dir DIR          the folder to save in; made if missing [.]
  -f, --files LIST       only these files, by the numbers that `storrent show`
                         prints, as 1,3-5 (one SOURCE only)
      --sequential       pieces in order, for watching while it loads
      --overwrite        replace files of the same name that are not this torrent's
      --stall-timeout SECONDS
                         give up after SECONDS without any data; 0: never [0]

What to do when complete:
      --seed             stay and seed, until interrupted
      --seed-ratio R     seed until R times the wanted size is uploaded
      --seed-time MINUTES
                         seed for MINUTES (with both: until either is reached)

Peers and the network:
      --peer HOST:PORT   also connect to this peer; repeatable
  -t, --tracker URL      also announce to this tracker; repeatable
  -p, --port PORT        the port to accept peers on; 0: any free one
                         [the first free one of 6881 to 6889, else any]
      --bind ADDR        the local address for all sockets (a VPN's, say)
      --proxy URL        all goes through this proxy, and nothing around it:
                         socks5://[USER:PASSWORD@]HOST:PORT, or http://
      --max-peers N      connections per torrent at most [50]
      --download-limit RATE, --upload-limit RATE
                         bytes a second of the whole process, as 500K or 1.5M;
                         0: no limit [0]
      --encryption off|prefer|require
                         obfuscated connections [prefer]
      --dht-node HOST:PORT
                         a node to enter the DHT by, instead of the public
                         ones; repeatable
      --no-dht, --no-pex, --no-lsd, --no-webseeds
                         switch one source off: the DHT, what peers tell of
                         others, the local network, web servers

What to print:
      --json             one JSON object a line on stdout, no progress display
  -q, --quiet            errors only
  -v, --verbose          tell on stderr what each thread does
  -h, --help             this text
      --version          the version

Examples:
  storrent debian.torrent
  storrent 'magnet:?xt=urn:btih:...'
  storrent -d ~/Videos -f 1,3-5 --sequential https://example.org/series.torrent
  storrent --seed-ratio 2 --upload-limit 500K *.torrent

Exit status: 0 all complete, 1 something failed, 2 the command line was wrong,
3 gave up (--stall-timeout), 130, 143 and 129 interrupted.
";

/// `storrent show --help`.
pub const SHOW: &str = "\
Usage: storrent show [OPTIONS] SOURCE

Prints what a torrent holds: its name, info hash, magnet link, sizes, trackers, and
its files with the numbers that `storrent -f` takes.

  -o, --output FILE      also save it as a .torrent; never overwrites
      --json             one JSON object instead
      --peer HOST:PORT, -t, --tracker URL, --dht-node HOST:PORT,
      --no-dht, --no-pex, --no-lsd, --stall-timeout SECONDS
                         for magnet links: where the metadata is fetched from
      --no-webseeds      taken as for a download, but no metadata comes from them
      --bind ADDR, --proxy URL
                         as for a download, for magnet links and URLs
  -q, --quiet            print errors only
  -h, --help             this text

Examples:
  storrent show debian.torrent
  storrent show --json - < debian.torrent
  storrent show -o film.torrent 'magnet:?xt=urn:btih:...'
";

/// `storrent check --help`.
pub const CHECK: &str = "\
Usage: storrent check [OPTIONS] TORRENT

Hashes what is on disk against the torrent and says which files are whole. The exit
status is 0 only if all are, else 1. Nothing on disk is changed.

  -d, --dir DIR          the folder that it was saved in [.]
      --json             one JSON object instead
      --bind ADDR, --proxy URL
                         as for a download, if TORRENT is a URL
  -q, --quiet            print errors only
  -h, --help             this text

Example:
  storrent check -d ~/Downloads debian.torrent
";

/// `storrent create --help`.
pub const CREATE: &str = "\
Usage: storrent create [OPTIONS] PATH

Makes a .torrent of a file or folder and prints its info hash and magnet link. The
same input gives the same info hash. Symlinks and empty folders are left out.

  -o, --output FILE      where to save it; never overwrites [NAME.torrent]
  -t, --tracker URL      a tracker, each in a tier of its own; repeatable
  -w, --webseed URL      a web seed; repeatable
      --piece-length SIZE
                         a power of two from 16K to 64M [by the size]
      --private          peers from its trackers only: no DHT, PEX or LSD
      --comment TEXT     a comment
  -q, --quiet            print errors only
  -h, --help             this text

Example:
  storrent create -t udp://tracker.example.org:6969 --comment 'My holiday' photos
";

/// `storrent seed --help`.
pub const SEED: &str = "\
Usage: storrent seed [OPTIONS] TORRENT...

Checks the data and serves it, until interrupted or until a goal is reached. Data that
is not complete is an error: to complete it, download it.

  -d, --dir DIR          the folder that it was saved in [.]
      --seed-ratio R     until R times the size is uploaded
      --seed-time MINUTES
                         for MINUTES (with both: until either is reached)
      --upload-limit RATE
                         bytes a second of the whole process, as 500K or 1.5M
  -p, --port PORT        the port to accept peers on; 0: any free one
  -h, --help             this text

Every other option about peers, the network and what to print holds as for
downloads: see `storrent --help`.

Example:
  storrent seed -d ~/Downloads --seed-time 120 debian.torrent
";

/// `storrent demo --help`.
pub const DEMO: &str = "\
Usage: storrent demo

Shows a whole swarm on this machine, with no network: a tracker, several seeds and
leeches, a real download with its progress, and what happened in words. It cleans up
after itself.
";
