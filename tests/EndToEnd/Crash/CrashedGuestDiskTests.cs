using Paravane.EndToEnd.Disk;
using Paravane.EndToEnd.Guest;
using Paravane.Peers;

namespace Paravane.EndToEnd.Crash;

/// <summary>A stock Linux guest, QEMU as front-end with its own record of requests in flight, and a paravane-blk that is killed again and again.</summary>
public sealed class CrashedGuestDiskTests
{
    private const int Kills = 4, Killed = 9; // SIGKILL

    [Theory, InlineData(false), InlineData(true)]
    public void I4_a_guest_sees_slow_requests_and_no_error_while_its_disk_server_is_killed_and_started_again(bool packed)
    {
        using var scratch = TemporaryDirectory.Create();
        var image = DiskImage.CreateRandom(scratch.File("image"), 32 << 20);
        string[] options = [$"--blk-file={image.Location}", "--num-queues=2"];
        ChildProcess disk = BackEnd.Start(Programs.Block, scratch.File("disk"), options);
        try
        {
            using QemuGuest guest = new(scratch, QemuDevice.Disk(0, scratch.File("disk"), queues: 2, packed, reconnectSeconds: 1));
            string device = guest.Run($"ls {QemuDevice.Sysfs(0)}/block");
            guest.Run($$"""
                work() (
                    i=0
                    dd if=/dev/urandom of=/tmp/piece$1 bs=64k count=2 2>/dev/null
                    while [ ! -e /tmp/enough ]; do
                        at=$((2048 * $1 + i % 60 * 16))
                        echo $1 $i | dd of=/tmp/piece$1 bs=1 seek=$((i % 16 * 4096)) conv=notrunc 2>/dev/null
                        dd if=/tmp/piece$1 of=/dev/{{device}} bs=4k count=16 seek=$at oflag=direct conv=notrunc 2>/dev/null || echo write $i >> /tmp/failures
                        dd if=/dev/{{device}} bs=4k count=16 skip=$at iflag=direct of=/tmp/back$1 2>/dev/null || echo read $i >> /tmp/failures
                        head -c 65536 /tmp/piece$1 | cmp -s - /tmp/back$1 || echo differs $i >> /tmp/failures
                        i=$((i + 1))
                        echo $i > /tmp/next$1
                        mv /tmp/next$1 /tmp/rounds$1
                    done
                    echo done > /tmp/done$1
                )
                echo 0 > /tmp/rounds0
                echo 0 > /tmp/rounds1
                work 0 > /dev/null 2>&1 &
                work 1 > /dev/null 2>&1 &
                """);
            for (int kill = 0; kill < Kills; kill++)
            {
                AwaitRounds(guest);
                disk.Signal(Killed);
                disk.WaitForExit(TimeSpan.FromSeconds(20));
                disk.Dispose();
                disk = BackEnd.Start(Programs.Block, scratch.File("disk"), options);
            }

            AwaitRounds(guest);
            guest.Run("touch /tmp/enough; for n in $(seq 300); do [ -e /tmp/done0 -a -e /tmp/done1 ] && exit 0; sleep 0.1; done; exit 1");
            Assert.Equal("", guest.Run("cat /tmp/failures 2>/dev/null || true"));
            Assert.Equal("", guest.Run("dmesg | grep -iE 'I/O error|blk_update_request|virtio.*(bad|is not a head)' || true"));
            guest.Run($"sync; echo 3 > /proc/sys/vm/drop_caches");
            Assert.StartsWith(image.Checksum(), guest.Run($"sha256sum /dev/{device}"));
            Assert.False(disk.HasExited, disk.Transcript);
            guest.PowerOff();
        }
        finally
        {
            disk.Dispose();
        }
    }

    /// <summary>Waits until both writers have done some more rounds.</summary>
    private static void AwaitRounds(QemuGuest guest) => guest.Run("""
        a=$(cat /tmp/rounds0) b=$(cat /tmp/rounds1)
        for n in $(seq 300); do
            [ $(cat /tmp/rounds0) -ge $((a + 5)) -a $(cat /tmp/rounds1) -ge $((b + 5)) ] && exit 0
            sleep 0.1
        done
        exit 1
        """);
}
