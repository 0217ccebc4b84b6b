# Debian systems in folders. To be read by the scripts of this folder.

unshare_pid=''
# The signals that end a script run its EXIT trap.
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP

# Debian's mirror as apt has it here.
mirror() {
    if [ -n "${MATRIX_MIRROR:-}" ]; then
        echo "$MATRIX_MIRROR"
    else
        apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null |
            sort -u | head -n 1
    fi
}

# Makes a system of suite $1, for purpose $2 if any, in the folder $chroot, with the project in /project. The bare system is kept as an archive.
# With MATRIX_KEEP set, the system of the last run is used again.
make_chroot() {
    local suite=$1 base=$cache/base-$1.tar url
    [ "$(id -u)" = 0 ] || not_tried 'a chroot needs root'
    command -v debootstrap >/dev/null || not_tried 'debootstrap is missing'
    url=$(mirror)
    [ -n "$url" ] || not_tried "apt has no mirror of Debian here; set MATRIX_MIRROR"
    chroot=$cache/chroots/$suite${2:+-$2}
    [ -n "${MATRIX_KEEP:-}" ] || rm -rf --one-file-system "$chroot"
    mkdir -p "$chroot"
    if [ -d "$chroot/etc" ]; then
        echo "going on in $chroot"
    elif [ -f "$base" ]; then
        tar -x -f "$base" -C "$chroot"
    else
        debootstrap --variant=minbase --include=ca-certificates "$suite" "$chroot" "$url" ||
            not_tried "debootstrap got no $suite from apt's mirror"
        rm -rf "$chroot"/var/cache/apt/archives/*.deb
        tar -c -f "$base.new" -C "$chroot" . && mv "$base.new" "$base"
    fi
    cp -L /etc/resolv.conf /etc/hosts "$chroot/etc/"
    # A mirror may be older than the Release file of the suite allows.
    echo 'Acquire::Check-Valid-Until "false";' >"$chroot/etc/apt/apt.conf.d/90matrix"
    # No package starts a server.
    printf '#!/bin/sh\nexit 101\n' >"$chroot/usr/sbin/policy-rc.d"
    chmod +x "$chroot/usr/sbin/policy-rc.d"
    copy_project "$chroot/project"
    trap remove_chroot EXIT
}

# Runs a command in $chroot. Its mounts and processes are its own, and end with it. unshare ignores SIGTERM and
# SIGINT, so end_chroot ends it. setpriv ends it if this shell is killed without warning.
in_chroot() {
    mkdir -p "$chroot/dev/shm" "$chroot/dev/pts"
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc="$chroot/proc" \
        sh -c 'mount -t tmpfs tmpfs "$1/dev/shm" && mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts" &&
            chroot=$1 && shift && exec chroot "$chroot" "$@"' sh "$chroot" \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@" &
    unshare_pid=$!
    local status=0
    wait "$unshare_pid" || status=$?
    unshare_pid=''
    return $status
}

# Ends what still runs in $chroot, and returns when nothing runs there. unshare's child is the first process of its
# namespace: the kernel kills all others with it, and unshare ends after the last.
end_chroot() {
    [ -n "$unshare_pid" ] || return 0
    pkill -KILL -P "$unshare_pid" || kill -KILL "$unshare_pid" || true
    wait "$unshare_pid" || true
    unshare_pid=''
}

# Removes $chroot unless it is to be kept.
remove_chroot() {
    end_chroot
    [ -n "${MATRIX_KEEP:-}" ] || rm -rf --one-file-system "$chroot"
}
