import ctypes, errno, os, re, stat as S, struct, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
CWD, AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_EMPTY_PATH = -100, 0x100, 0x200, 0x1000
LONG = ("read", "write", "readv", "writev", "pread", "pwrite", "lseek", "readlinkat", "getdents64", "syscall",
        "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr")
LAYER_TIME = (1000000000, 0)
KINDS = {S.S_IFDIR: "dir", S.S_IFREG: "file", S.S_IFLNK: "symlink", S.S_IFIFO: "fifo",
         S.S_IFSOCK: "socket", S.S_IFCHR: "char", S.S_IFBLK: "block"}
TYPES = {4: "dir", 8: "file", 10: "symlink", 1: "fifo", 12: "socket", 2: "char", 6: "block"}
MARKS = {"dir": "/", "symlink": "@", "fifo": "|", "socket": "=", "char": "%", "block": "%", "unknown": "?"}

class Slot(int): pass    # a descriptor by its place in the case
class Buffer(int): pass  # room for so many bytes

def Offset(at):  # where in a file; the call may write back how far it came
    return struct.pack("q", at)


def Times(*times):
    return struct.pack("4q", *(n for t in times for n in t))

def call(name, *args):
    """One call of the C library: what it returns and its buffer, or OSError."""
    function, buffer, values = getattr(libc, name), None, []
    function.restype = ctypes.c_long if name in LONG else ctypes.c_int
    for arg in args:
        if isinstance(arg, Slot):
            arg = world.slots.get(int(arg), -1)
        elif isinstance(arg, Buffer):
            buffer = arg = ctypes.create_string_buffer(max(int(arg), 1))
        elif isinstance(arg, list):  # the vector of readv or writev
            buffer = [ctypes.create_string_buffer(max(int(b), 1)) if isinstance(b, Buffer) else ctypes.create_string_buffer(b, len(b) + 1)
                      for b in arg]
            vector = b"".join(struct.pack("QQ", ctypes.addressof(b), int(a) if isinstance(a, Buffer) else len(a))
                              for a, b in zip(arg, buffer))
            values.append(ctypes.c_char_p(vector))
            values.append(ctypes.c_long(len(arg)))
            sizes = [int(a) if isinstance(a, Buffer) else len(a) for a in arg]
            buffer = list(zip(sizes, buffer))
            continue
        if arg is None or isinstance(arg, bytes):
            values.append(ctypes.c_char_p(arg))
        else:
            values.append(ctypes.c_long(arg) if isinstance(arg, int) else arg)
    result = function(*values)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result, buffer

def error(e):
    return errno.errorcode.get(e.errno, "E%d" % e.errno).replace("EDEADLOCK", "EDEADLK").replace("ENOTSUP", "EOPNOTSUPP")

REPEATED = re.compile(rb"(.)\1{16,}", re.S)

def quoted(data):
    known = {34: '\\"', 92: "\\\\", 10: "\\n", 9: "\\t"}
    part = lambda data: '"%s"' % "".join(known.get(b) or (chr(b) if 32 <= b < 127 else "\\x%02x" % b) for b in data)
    parts, at = [], 0
    for run in REPEATED.finditer(data):
        parts += [part(data[at:run.start()])] * (at < run.start())
        parts.append(part(run[1]) + "*%d" % len(run[0]))
        at = run.end()
    return "+".join(parts + [part(data[at:])] * (at < len(data) or not data))

def word(name):
    plain = name and all(chr(b).isalnum() and b < 128 or b in b"._-/+@,~" for b in name)
    return name.decode() if plain and name[:1] != b"@" and not REPEATED.search(name) else quoted(name)

def xattr_word(name):
    return "@" + word(name[1:]) if name[:1] == b"@" else word(name)

def xattr_value(value):
    """The value of an xattr, an access control list in words."""
    plain, named = {1: "u:", 4: "g:", 16: "m:", 32: "o:"}, {2: "u:%d", 8: "g:%d"}
    entries = [struct.unpack_from("<HHI", value, at) for at in range(4, len(value) - 7, 8)]
    fits = all(p < 8 and tag in (plain if number == 0xffffffff else named) for tag, p, number in entries)
    if not entries or not fits or len(value) % 8 != 4 or value[:4] != b"\2\0\0\0":
        return quoted(value)
    return "acl:" + ",".join("%s:%s" % (
        plain[tag] if tag in plain else named[tag] % number,
        "".join(c if p & bit else "-" for c, bit in (("r", 4), ("w", 2), ("x", 1)))) for tag, p, number in entries)

def private(name):
    return b"@" + name[len(world.prefix):] if name.startswith(world.prefix) else name

def node(st, xattrs=None, content="", listed=None):
    """A node in words; st is what statx gave."""
    mode, uid, gid, links, size, rdev, mtime = st
    kind = KINDS.get(S.S_IFMT(mode), "unknown")
    device = kind in ("char", "block")
    text = "whiteout" if kind == "char" and rdev == (0, 0) else kind
    if device and text != "whiteout":
        text += " %d:%d" % rdev
    text += " %04o %d:%d links %d" % (mode & 0o7777, uid, gid, links)
    if kind == "file":
        text += " size %d" % size
    if world.start <= mtime <= (time.time() + 1, 0):
        text += " now"
    elif mtime != LAYER_TIME:
        text += " at %d.%09d" % mtime
    if listed and listed != kind:
        text += " listed as " + listed
    text += content
    for name, value in sorted(xattrs or []):
        secret = name == b"@uuid" or name in (b"@origin", b"@upper") and value
        text += " %s=%s" % (xattr_word(name), "*" if secret else xattr_value(value))
    return text

def statx(at, path, flags):
    buffer = call("statx", at, path, flags, 0x7ff, Buffer(256))[1].raw
    links, uid, gid, mode = struct.unpack_from("<IIIH", buffer, 16)
    size, = struct.unpack_from("<Q", buffer, 40)
    seconds, nanoseconds = struct.unpack_from("<qI", buffer, 112)
    return mode, uid, gid, links, size, struct.unpack_from("<II", buffer, 128), (seconds, nanoseconds)

def dents_once(fd, size):
    length, buffer = call("getdents64", fd, Buffer(size), size)
    at, raw, found, marks = 0, buffer.raw, [], []
    while at < length:
        after, step, kind = struct.unpack_from("=qHB", raw, at + 8)
        name = raw[at + 19:at + step].split(b"\0")[0]
        marks.append(after)
        if name not in (b".", b".."):
            found.append((name, TYPES.get(kind, "unknown")))
        at += step
    return sorted(found), marks

def dents(fd, size=32768):
    found = []
    while True:
        more, marks = dents_once(fd, size)
        if not marks:
            return sorted(found)
        found += more

def listing(entries):
    return "[%s]" % " ".join(word(name) + MARKS.get(kind, "") for name, kind in entries)

def xattrs_of(name):
    try:
        names = os.listxattr(name, follow_symlinks=False)
    except OSError as e:
        if e.errno != errno.EOPNOTSUPP:
            raise
        return []
    found = [(os.fsencode(n), os.getxattr(name, n, follow_symlinks=False)) for n in names]
    return [(private(n), v) for n, v in found if n != b"security.selinux"]

def content_of(name, st):
    try:
        if S.S_ISLNK(st[0]):
            return " -> " + quoted(os.readlink(name))
        if not S.S_ISREG(st[0]):
            return ""
        if st[4] > 16 << 20:
            return " unreadable: EFBIG"
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME)
        try:
            # To the end, wherever that is: the size of a metacopy may be anything.
            data = b""
            while more := os.read(fd, max(st[4] + 1 - len(data), 4096)):
                data += more
        finally:
            os.close(fd)
    except OSError as e:
        return " unreadable: " + error(e)
    if len(data) <= 2048:
        return " " + quoted(data)
    digest = 0xcbf29ce484222325
    for b in data:
        digest = (digest ^ b) * 0x100000001b3 & 0xffffffffffffffff
    return " digest %016x" % digest

class World:
    """The mount, and where this process is."""
    def __init__(self, prefix, lowers, mount, serves, alarm):
        global PREFIX
        PREFIX = self.prefix = prefix
        self.mount_words, self.serves = mount, serves
        self.slots, self.mask, self.rotations, self.cwd, self.marks = {}, 0, 0, None, {}
        self.lowers, self.upper, self.work = lowers, "upper", "work"
        libc.alarm(alarm)
        now = time.clock_gettime_ns(5)  # CLOCK_REALTIME_COARSE, which filesystems stamp with
        self.start = ((now // 10**9) - 60, 0)  # the layers were made a moment ago
        self.home = os.open("/", os.O_PATH)
        self.base = os.getcwd()
        self.changed = False
        os.umask(0)
        self.before = self.lower_state()
        global world
        world = self
        self.mount()

    def lower_state(self):
        """All of the lower layers: they must never change."""
        if self.mount_words is None:
            return None
        found = []
        for lower in self.lowers:
            for at, dirs, files in os.walk(os.fsencode(lower)):
                dirs.sort()
                for name in [b"."] + sorted(dirs) + sorted(files):
                    path = os.path.join(at, name)
                    st = os.lstat(path)
                    found.append((path, st.st_mode, st.st_ino, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns))
        return found

    def go_home(self):
        os.fchdir(self.home)
        os.chroot(".")
        os.chdir(self.base)

    def mount(self):
        if self.mount_words is None:
            self.root = os.open(self.lowers[0], os.O_PATH)
        else:
            place = lambda name: os.path.join(self.base, name)
            values = {"lowerdir": ":".join(map(place, self.lowers)), "upperdir": place(self.upper),
                      "workdir": place(self.work), "merged": place("merged")}
            words = self.mount_words
            for key, value in values.items():
                words = [w.replace("{%s}" % key, value) for w in words]
            device = os.stat("merged").st_dev
            if self.serves:
                server = subprocess.Popen(words, stdin=subprocess.DEVNULL)
                for _ in range(500):
                    if os.stat("merged").st_dev != device or server.poll():
                        break
                    time.sleep(0.01)
            else:
                subprocess.call(words)
            if os.stat("merged").st_dev == device:
                print("the mount is refused", flush=True)
                sys.exit(0)
            self.root = os.open("merged", os.O_PATH)
        self.upper_fd = os.open(self.upper, os.O_PATH)
        self.work_fd = os.open(self.work, os.O_PATH)
        self.enter(self.root)

    def enter(self, fd):
        os.fchdir(fd)
        os.chroot(".")

    def mount_anew(self, rotate):
        for fd in self.slots.values():
            os.close(fd)
        self.slots, self.marks = {}, {}
        if self.cwd is not None:
            os.close(self.cwd)
            self.cwd = None
        self.go_home()
        for fd in (self.root, self.upper_fd, self.work_fd):
            os.close(fd)
        if self.mount_words is not None:
            subprocess.check_call(["umount", os.path.join(self.base, "merged")])
            if rotate:
                self.changed |= self.lower_state() != self.before
                self.rotations += 1
                self.lowers = [self.upper] + self.lowers
                self.upper, self.work = "upper%d" % self.rotations, "work%d" % self.rotations
                for name in (self.upper, self.work):
                    os.mkdir(name, 0o755)
                os.utime(self.upper, LAYER_TIME_PAIR)
                self.before = self.lower_state()
        self.mount()

    def act(self, kind, *args):
        """The step itself; gives its result in words."""
        if kind == "open":
            slot, path, flags, mode = args
            self.marks.pop(slot, None)
            if slot in self.slots:
                os.close(self.slots.pop(slot))
            self.slots[slot] = call("openat", CWD, path, flags, mode)[0]
        elif kind == "dup":
            fd = call("dup", Slot(args[0]))[0]
            if args[1] in self.slots:
                os.close(self.slots[args[1]])
            self.slots[args[1]] = fd
            self.marks.pop(args[1], None)
        elif kind == "close":
            self.marks.pop(args[0], None)
            call("close", self.slots.pop(args[0], -1))
        elif kind == "stat":
            return node(statx(*args))
        elif kind == "list":
            fd = call("openat", CWD, args[0], os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC, 0)[0]
            try:
                return listing(dents(fd))
            finally:
                os.close(fd)
        elif kind == "getdents64":
            found, marks = dents_once(Slot(args[0]), args[1])
            self.marks.setdefault(args[0], []).extend(marks)
            return listing(found)
        elif kind == "seekdir":
            marks = self.marks.get(args[0], [])
            to = marks[args[1]] if args[1] < len(marks) else 0
            return "%d" % call("lseek", Slot(args[0]), to, 0)[0]
        elif kind == "getdents":
            return listing(dents(*args))
        elif kind == "getcwd":
            # The C library's function would go looking where the call fails.
            length, buffer = call("syscall", {"x86_64": 79, "aarch64": 17}[os.uname().machine], Buffer(4096), 4096)
            return quoted(buffer.raw[:length - 1])
        elif kind in ("getflags", "setflags"):
            get, put = (2 << 30 | 8 << 16 | 0x6601), (1 << 30 | 8 << 16 | 0x6602)  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
            flags, = struct.unpack_from("i", call("ioctl", Slot(args[0]), get, Buffer(8))[1].raw)
            if kind == "getflags":
                return quoted(b"i" * (flags >> 4 & 1) + b"a" * (flags >> 5 & 1))
            call("ioctl", Slot(args[0]), put, struct.pack("q", flags & ~0x30 | args[1]))
        elif kind == "umask":
            old, self.mask = self.mask, args[0] & 0o777
            return "%d" % old
        elif kind in ("remount", "rotate"):
            self.mount_anew(kind == "rotate")
        elif kind == "drop_caches":
            fs = call("syscall", 433, self.root, b"", 8 | 1)[0]  # fspick, which new kernels number alike
            try:
                call("syscall", 431, fs, 7, None, None, 0)  # fsconfig(FSCONFIG_CMD_RECONFIGURE)
            finally:
                os.close(fs)
        elif kind == "observe":
            pass
        else:
            result, buffer = call(*args)
            if kind == "count":
                return "%d" % result
            if kind == "data":
                return quoted(buffer.raw[:result])
            if kind == "vector":
                return quoted(b"".join(b.raw[:size] for size, b in buffer)[:result])
            if kind == "filesystem":
                magic, = struct.unpack_from("Q", buffer.raw, 0)
                longest, = struct.unpack_from("Q", buffer.raw, 64)
                flags, = struct.unpack_from("Q", buffer.raw, 80)
                return "type %#x, names up to %d bytes, read-only: %s" % (magic, longest, str(flags & 1 == 1).lower())
            if kind == "names":
                names = sorted(private(n) for n in buffer.raw[:result].split(b"\0") if n and n != b"security.selinux")
                return "[%s]" % " ".join(map(xattr_word, names))
        return "ok"

    def put_on(self, actor):
        if actor == "bare":
            self.capabilities(False)
        elif actor:
            os.setgroups(actor[2])
            os.setresgid(actor[1], actor[1], 0)
            os.setresuid(actor[0], actor[0], 0)

    def take_off(self, actor):
        if actor == "bare":
            self.capabilities(True)
        elif actor:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)
            os.setgroups([])

    def capabilities(self, on):
        header = struct.pack("II", 0x20080522, 0)
        data = ctypes.create_string_buffer(24)
        call("capget", header, data)
        words = list(struct.unpack("6I", data.raw))
        words[0], words[3] = (words[1], words[4]) if on else (0, 0)
        call("capset", header, struct.pack("6I", *words))

    def step(self, text, *args, looks=(), trees=None, actor=None, anything=False):
        if self.cwd is not None:
            os.fchdir(self.cwd)
        self.put_on(actor)
        os.umask(self.mask)
        moved = False
        try:
            outcome = self.act(*args)
            moved = args[1:2] in (("chdir",), ("fchdir",))
        except OSError as e:
            outcome = error(e)
        os.umask(0)
        self.take_off(actor)
        if moved:  # the next step starts there; looks start from the root
            if self.cwd is not None:
                os.close(self.cwd)
            self.cwd = os.open(".", os.O_PATH | os.O_DIRECTORY)
        os.fchdir(self.root)
        print("%s = %s" % (text, "anything" if anything else outcome), flush=True)
        for path in looks:
            self.look(path)
        if trees:
            self.trees(trees == "all", trees)
        os.fchdir(self.root)

    def line(self, side, path, text):
        print("  %s %s: %s" % (side, word(path) if path else ".", text), flush=True)

    def place(self, name, detail, content=False, listed=None):
        try:
            st = statx(CWD, name, AT_SYMLINK_NOFOLLOW)
            return node(st, xattrs_of(name) if detail else None, content_of(name, st) if content else "", listed)
        except OSError as e:
            return error(e)

    def look(self, path):
        """What a path holds: merged, then its directory in the upper layer, then itself there."""
        os.fchdir(self.root)
        self.line("merged", path, self.place(path or b".", False))
        if self.mount_words is None:
            return
        parent, _, name = path.rpartition(b"/")
        fd = self.upper_fd
        try:
            if parent:
                how = struct.pack("QQQ", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, 8 | 4)
                fd = call("syscall", 437, self.upper_fd, parent, how, 24)[0]  # openat2, beneath, no symlinks
        except OSError as e:
            self.line("upper", parent, error(e))
            self.line("upper", path, error(e))
            return
        os.fchdir(fd)
        self.line("upper", parent, self.place(b".", True))
        if name:
            self.line("upper", path, self.place(name, True))
        if parent:
            os.close(fd)

    def tree(self, side, path, name, xattrs, content, listed=None):
        text = self.place(name, xattrs, content, listed)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME
        if not text.startswith("dir "):
            return self.line(side, path, text)
        try:
            fd = os.open(name, flags)
        except OSError as e:
            return self.line(side, path, text + " unlistable: " + error(e))
        try:
            entries = dents(fd)
        except OSError as e:
            os.close(fd)
            return self.line(side, path, text + " unlistable: " + error(e))
        self.line(side, path, text)
        for child, kind in entries:
            os.fchdir(fd)
            self.tree(side, path + b"/" + child if path else child, child, xattrs, content, kind)
        os.close(fd)

    def trees(self, everything, _):
        os.fchdir(self.root)
        self.tree("merged", b"", b".", everything, True)
        if self.mount_words is None:
            return
        os.fchdir(self.upper_fd)
        self.tree("upper", b"", b".", True, everything)
        found = []
        self.shape(self.work_fd, b"", b"", found)
        for path, text in sorted(found):
            self.line("work", path, text)
        os.fchdir(self.root)

    def shape(self, at, path, shown, found):
        """Of the work directory only types and modes, temporaries without their names."""
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        for child, _ in dents(fd):
            st = os.stat(child, dir_fd=fd, follow_symlinks=False)
            name = b"#" if child.startswith(b"#") else b"(a file handle)" if path == b"index" else child
            below = shown + b"/" + name if shown else name
            kind = KINDS.get(S.S_IFMT(st.st_mode), "unknown")
            found.append((below, "%s %04o" % (kind, st.st_mode & 0o7777)))
            if kind == "dir":
                inner = os.open(child, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                self.shape(inner, child, below, found)
                os.close(inner)
        os.close(fd)

    def end(self, look):
        if look:
            print("at the end", flush=True)
            self.trees(True, None)
        for fd in list(self.slots.values()) + ([] if self.cwd is None else [self.cwd]):
            os.close(fd)
        self.go_home()
        self.changed |= self.lower_state() != self.before
        print("lower layers %s" % ("changed" if self.changed else "unchanged"), flush=True)
        for fd in (self.root, self.upper_fd, self.work_fd):
            os.close(fd)
        if self.mount_words is not None:
            subprocess.call(["umount", os.path.join(self.base, "merged")])

LAYER_TIME_PAIR = (LAYER_TIME[0], LAYER_TIME[0])
