package machine

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// packages are Debian's, which with those that they need make a system that
// takes commands by ssh and installs packages.
const packages = "base-files base-passwd bash coreutils dash debianutils diffutils dpkg findutils grep gzip hostname " +
	"libc-bin login mount ncurses-base passwd perl-base sed systemd-sysv tar usr-is-merged util-linux " +
	"adduser dbus openssh-server sudo udev"

// unneeded is how paths of packages begin that nothing here reads. Of udev's
// rules those stay that give devices to their groups, and tell systemd of them.
func unneeded() []string {
	return []string{"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/zoneinfo",
		"usr/lib/aarch64-linux-gnu/gconv", "etc/init.d", "etc/cron.d", "usr/lib/udev/hwdb.d",
		"usr/lib/udev/rules.d/6", "usr/lib/udev/rules.d/7", "usr/lib/udev/rules.d/8"}
}

// masked are units that would only take time here.
func masked() []string {
	return strings.Fields(`getty.target serial-getty@.service modprobe@.service
		systemd-logind.service systemd-user-sessions.service systemd-update-utmp.service systemd-update-utmp-runlevel.service
		systemd-random-seed.service systemd-hwdb-update.service systemd-machine-id-commit.service systemd-sysusers.service
		systemd-journal-flush.service systemd-journal-catalog-update.service systemd-update-done.service ldconfig.service
		systemd-modules-load.service systemd-sysctl.service systemd-remount-fs.service systemd-tmpfiles-setup-dev.service
		systemd-udev-trigger.service systemd-pstore.service systemd-boot-system-token.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount
		sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
		dev-hugepages.mount dev-mqueue.mount`)
}

// settings are the files that Debian's installer and the packages' scripts
// would have made: users, how they log in, and the network that QEMU emulates.
// The user pi may do all by sudo, as on Raspberry Pi OS.
func settings() map[string]string {
	const permit = " required pam_permit.so\n" // ssh has asked for the key
	return map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n" +
			"messagebus:x:105:105::/:/usr/sbin/nologin\nsystemd-network:x:998:998::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\npi:x:1000:1000::/home/pi:/bin/bash\n",
		"etc/shadow":            "root:*:::::::\npi:*:::::::\n",
		"etc/group":             "root:x:0:\ntty:x:5:\ndisk:x:6:\nadm:x:4:\nlp:x:7:\nkmem:x:15:\ndialout:x:20:\ncdrom:x:24:\ntape:x:26:\nsudo:x:27:pi\naudio:x:29:\nshadow:x:42:\nutmp:x:43:\nvideo:x:44:\nusers:x:100:\nmessagebus:x:105:\nsgx:x:993:\ninput:x:994:\nrender:x:995:\nkvm:x:996:\ngpio:x:997:\nsystemd-network:x:998:\nsystemd-journal:x:999:\nnogroup:x:65534:\npi:x:1000:\n",
		"etc/gshadow":           "",
		"etc/fstab":             "",
		"etc/hostname":          "board\n",
		"etc/hosts":             "127.0.0.1 localhost board\n",
		"etc/machine-id":        strings.Repeat("0123456789abcdef", 2) + "\n",
		"etc/sudoers.d/pi":      "pi ALL=(ALL) NOPASSWD: ALL\n",
		"etc/pam.d/common-auth": "auth" + permit, "etc/pam.d/common-account": "account" + permit, "etc/pam.d/common-password": "password" + permit,
		"etc/pam.d/common-session": "session" + permit, "etc/pam.d/common-session-noninteractive": "session" + permit, "etc/pam.d/other": "auth" + permit,
		"etc/ssh/sshd_config":           "HostKey /run/ssh-host-key\nAuthorizedKeysFile /etc/ssh/keys\nUsePAM no\nPasswordAuthentication no\nUseDNS no\nSubsystem sftp /usr/lib/openssh/sftp-server\n",
		"etc/tmpfiles.d/home.conf":      "d /home/pi 0755 pi pi\n",
		"etc/systemd/journald.conf":     "[Journal]\nReadKMsg=no\n",
		"etc/systemd/network/q.network": "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
		"etc/systemd/system/ssh.service.d/key.conf": "[Service]\nExecStartPre=\n" +
			"ExecStartPre=/usr/bin/ssh-keygen -q -t ed25519 -N '' -f /run/ssh-host-key\n",
		"etc/systemd/system/agent.service": "[Unit]\nAfter=multi-user.target\n" +
			"[Service]\nExecStart=/init\nStandardInput=tty-force\nStandardOutput=tty\nTTYPath=/dev/ttyAMA0\n",
	}
}

// System is a Debian with systemd, as an initial file system.
type System struct{ path string }

// FindSystem returns the system in the cache folder. If there is none it makes
// one of Debian's current packages, which it gets through apt.
func FindSystem(cache string) (*System, error) {
	key := sha256.Sum256(fmt.Append(nil, packages, unneeded(), masked(), settings()))
	s := &System{filepath.Join(cache, fmt.Sprintf("system-%x.cpio", key[:6]))}
	_, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = s.fetch(cache)
	}
	if err != nil {
		return nil, fmt.Errorf("machine: no arm64 system in %s: %w", cache, err)
	}
	return s, nil
}

func (s *System) fetch(cache string) error {
	cache, err := filepath.Abs(cache)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	debs, err := os.MkdirTemp(cache, "unpacking-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(debs)
	if err := os.Mkdir(filepath.Join(debs, "partial"), 0o755); err != nil {
		return err
	}
	if err := download(debs); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	all, err := join(files)
	if err != nil {
		return err
	}
	whole := filepath.Join(debs, "system.cpio")
	if err := os.WriteFile(whole, all, 0o644); err != nil {
		return err
	}
	return os.Rename(whole, s.path)
}

// download gets the packages and all that they need, as if nothing were
// installed.
func download(to string) error {
	args := []string{"--quiet", "--yes", "--no-install-recommends", "--download-only",
		"-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache::archives=" + to, "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
		"-o", "APT::Architecture=arm64", "-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=true", "install"}
	_, err := run("", "apt-get", append(args, strings.Fields(packages)...)...)
	return err
}

// join makes an archive of packages.
func join(debs []string) ([]byte, error) {
	var a archive
	for _, dir := range []string{"bin", "sbin", "lib"} {
		a.add(dir, linkMode, []byte("usr/"+dir))
	}
	var status bytes.Buffer // dpkg's, of all packages
	var lists []string      // of their files
	for _, deb := range debs {
		if err := a.unpack(deb); err != nil {
			return nil, fmt.Errorf("%s: %w", deb, err)
		}
		control, err := run("", "dpkg-deb", "--field", deb)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&status, "%sStatus: install ok installed\n\n", control)
		name, _, _ := strings.Cut(filepath.Base(deb), "_")
		if bytes.Contains(control, []byte("\nMulti-Arch: same\n")) {
			name += ":arm64"
		}
		lists = append(lists, name)
	}
	a.configure(status.Bytes(), lists)
	return a.Bytes(), nil
}

// unpack adds what a package holds. All belongs to root.
func (a *archive) unpack(deb string) error {
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait() // how it ended shows in what can be read
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		name := merged(path.Clean(h.Name))
		if slices.ContainsFunc(unneeded(), func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		mode := int(h.Mode & 0o7777)
		switch h.Typeflag {
		case tar.TypeDir:
			a.add(name, 0o040000|mode, nil)
		case tar.TypeSymlink:
			a.add(name, linkMode, []byte(h.Linkname))
		case tar.TypeLink:
			a.add(name, linkMode, []byte("/"+merged(path.Clean(h.Linkname))))
		case tar.TypeReg:
			data, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			a.add(name, 0o100000|mode, data)
		}
	}
}

// merged is where a file of /bin, /sbin or /lib is now.
func merged(name string) string {
	if top, _, _ := strings.Cut(name, "/"); top == "bin" || top == "sbin" || top == "lib" {
		return "usr/" + name
	}
	return name
}

// configure adds what the packages' scripts would have made, and dpkg's status
// of the packages.
func (a *archive) configure(status []byte, lists []string) {
	// Folders that no package has.
	for _, dir := range []string{"etc/systemd/system/ssh.service.d", "var/lib/dpkg/triggers"} {
		a.add(dir, folderMode, nil)
	}
	a.device("dev/console", 5, 1)
	files := settings()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		a.add(name, 0o100644, []byte(files[name]))
	}
	for _, name := range lists {
		a.add("var/lib/dpkg/info/"+name+".list", 0o100644, nil)
	}
	for _, unit := range masked() {
		a.add("etc/systemd/system/"+unit, linkMode, []byte("/dev/null"))
	}
	a.add("var/lib/dpkg/status", 0o100644, status)
	a.add("TRAILER!!!", 0, nil)
}
