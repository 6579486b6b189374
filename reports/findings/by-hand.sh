#!/bin/bash
# Shows a finding without ovlcheck, on the kernel or with a program that mounts as fuse-overlayfs or unionfs do:
#   by-hand.sh kernel|PROGRAM LAYERS STEPS
# LAYERS is shell that fills l (lower) and u (upper); STEPS is Python that runs in the mounted tree, with
# everything of the module os, st(PATH) to show attributes and t(CALL, ARGUMENTS...) to show a result.
# As root; everything happens on a tmpfs in a mount namespace of its own.
set -eu
[ $# -eq 3 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
export PROGRAM=$1 LAYERS=$2 STEPS=$3
exec unshare --mount --propagation private bash -c '
set -eu
dir=$(mktemp -d)
mount -t tmpfs tmpfs "$dir"
cd "$dir"
mkdir l u w m
eval "$LAYERS"
options="lowerdir=$dir/l,upperdir=$dir/u,workdir=$dir/w"
case "${PROGRAM##*/}" in
    kernel) mount -t overlay overlay -o "$options" m ;;
    unionfs) "$PROGRAM" -o cow,suid,dev,default_permissions,allow_other,use_ino,hide_meta_files "$dir/u=RW:$dir/l" m ;;
    *) "$PROGRAM" -o "$options" "$dir/m" ;;
esac
cd m
python3 -P -c "
from os import *
import ctypes, errno, os, stat as S, sys
umask(0)
libc = ctypes.CDLL(None, use_errno=True)
def st(path):
    s = os.lstat(path)
    date = int(s.st_mtime) if s.st_mtime < 1.7e9 else \"now\"
    print(path, S.filemode(s.st_mode), f\"owner {s.st_uid}:{s.st_gid} links {s.st_nlink} size {s.st_size} mtime {date}\", flush=True)
def t(call, *arguments):
    try: result = call(*arguments)
    except OSError as e: result = errno.errorcode[e.errno]
    print(call.__name__, *[str(a)[:20] for a in arguments], \"=\", str(result)[:60], flush=True)
def renameat2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags): raise OSError(ctypes.get_errno(), new)
exec(os.environ[\"STEPS\"])" || true
cd /
umount "$dir/m"
umount -l "$dir"
rmdir "$dir"'
