using System.Security.Cryptography;

namespace Paravane.EndToEnd.Disk;

/// <summary>What a stock Linux guest does with disks that paravane-blk serves.</summary>
public abstract class GuestDiskTests(DiskGuest disks)
{
    private const int RingPackedBit = 34;
    private const int EventIndexBit = 29;
    private const int IndirectBit = 28;

    [Theory, InlineData("one-queue", 1), InlineData("two-queues", 2)]
    public void The_guest_uses_the_ring_format_and_the_queues_that_were_asked_for(string serial, int queues)
    {
        string disk = disks.Find(serial);
        string features = disks.Guest.Run($"cat /sys/block/{disk}/device/features");
        Assert.Equal(disks.IsPacked ? '1' : '0', features[RingPackedBit]);
        Assert.Equal('1', features[EventIndexBit]);
        Assert.Equal('1', features[IndirectBit]);
        Assert.Equal(serial, disks.Guest.Run($"cat /sys/block/{disk}/serial"));
        Assert.Equal(queues, disks.Guest.Run($"ls /sys/block/{disk}/mq").Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries).Length);
    }

    [Theory, InlineData("one-queue"), InlineData("two-queues")]
    public void A_file_system_made_and_filled_in_the_guest_is_whole_in_the_guest_and_on_the_host(string serial)
    {
        string disk = disks.Find(serial);
        // Both CPUs write at once, so that with two queues both carry data; sync and umount flush.
        disks.Guest.Run($$"""
            /tools/mke2fs -q -F -t ext4 /dev/{{disk}}
            mkdir -p /mnt/{{disk}}
            mount /dev/{{disk}} /mnt/{{disk}}
            cd /mnt/{{disk}}
            fill() (
                mkdir $1
                for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=$1/big$i bs=64k count=24; done
                for i in $(seq 1 60); do dd if=/dev/urandom of=$1/small$i bs=$((i * 97)) count=1; done
            ) 2>/dev/null
            fill a & fill b & wait
            rm a/big3 b/small7
            find . -type f ! -name sums -exec sha256sum {} + > sums
            sync
            cd /
            umount /mnt/{{disk}}
            """, limitSeconds: 120);

        disks.Guest.Run($"""
            /tools/e2fsck -f -n /dev/{disk}
            blockdev --flushbufs /dev/{disk}
            echo 3 > /proc/sys/vm/drop_caches
            mount -o ro /dev/{disk} /mnt/{disk}
            cd /mnt/{disk}
            [ $(wc -l < sums) = 134 ]
            sha256sum -c sums > /tmp/verdict || (grep -v OK /tmp/verdict; exit 1)
            cd /
            umount /mnt/{disk}
            blockdev --flushbufs /dev/{disk}
            """, limitSeconds: 120);
        string inGuest = disks.Guest.Run($"sha256sum /dev/{disk} | cut -d ' ' -f 1");

        Assert.Equal(inGuest, disks.Image(serial).Checksum());
        string copy = disks.Scratch(serial + "-files");
        disks.Image(serial).Extract(copy);
        string[] sums = File.ReadAllLines(Path.Combine(copy, "sums"));
        Assert.Equal(134, sums.Length);
        Assert.All(sums, line =>
        {
            string[] parts = line.Split("  ./", 2);
            Assert.Equal(parts[0], new DiskImage(Path.Combine(copy, parts[1])).Checksum());
        });
    }

    [Fact]
    public void A_read_only_disk_shows_what_the_host_wrote_and_takes_no_write()
    {
        string disk = disks.Find("read-only");
        string before = disks.Image("read-only").Checksum();
        Assert.Equal("1", disks.Guest.Run($"cat /sys/block/{disk}/ro"));
        Assert.Equal(before, disks.Guest.Run($"dd if=/dev/{disk} bs=1M iflag=direct 2>/dev/null | sha256sum | cut -d ' ' -f 1"));
        (int code, _) = disks.Guest.TryRun($"dd if=/dev/zero of=/dev/{disk} bs=4k count=1 conv=notrunc,fsync");
        Assert.NotEqual(0, code);
        Assert.Equal(before, disks.Image("read-only").Checksum());
    }

    [Theory, InlineData("one-queue"), InlineData("two-queues")]
    public void Discard_frees_blocks_and_write_zeroes_leaves_zeroes_and_neither_touches_its_neighbours(string serial)
    {
        const int Megabyte = 1 << 20;
        string disk = disks.Find(serial);
        DiskImage image = disks.Image(serial);
        disks.Guest.Run($"dd if=/dev/urandom of=/dev/{disk} bs=1M count=32 oflag=direct 2>/dev/null");
        byte[] before = image.Read(0, 32 * Megabyte);
        long allocated = image.AllocatedBytes();

        disks.Guest.Run($"""
            /tools/blkdiscard -o {4 * Megabyte} -l {8 * Megabyte} /dev/{disk}
            /tools/blkdiscard -z -o {20 * Megabyte} -l {8 * Megabyte} /dev/{disk}
            """);

        byte[] after = image.Read(0, 32 * Megabyte);
        Array.Clear(before, 4 * Megabyte, 8 * Megabyte);
        Array.Clear(before, 20 * Megabyte, 8 * Megabyte);
        Assert.True(before.AsSpan().SequenceEqual(after), "the image is not what discard and write zeroes should leave");
        Assert.InRange(image.AllocatedBytes(), 0, allocated - 7 * Megabyte);
        string guestSum = disks.Guest.Run($"dd if=/dev/{disk} bs=1M count=32 iflag=direct 2>/dev/null | sha256sum | cut -d ' ' -f 1");
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(after)), guestSum);
    }

    [Fact]
    public void Back_ends_sleep_while_their_guest_does()
    {
        disks.Guest.Run($"dd if=/dev/{disks.Find("one-queue")} of=/dev/null bs=1M count=8 iflag=direct 2>/dev/null");
        Idle.Check(disks.CpuTime);
    }

    [Fact]
    public void The_guest_turns_the_write_cache_off_and_on_and_data_stays_right()
    {
        string disk = disks.Find("two-queues");
        foreach (string mode in (string[])["write through", "write back"])
        {
            disks.Guest.Run($"""
                echo '{mode}' > /sys/block/{disk}/cache_type
                [ "$(cat /sys/block/{disk}/queue/write_cache)" = '{mode}' ]
                dd if=/dev/urandom of=/dev/{disk} bs=64k seek=600 count=32 oflag=direct conv=notrunc,fsync 2>/dev/null
                """);
            string guestSum = disks.Guest.Run($"dd if=/dev/{disk} bs=64k skip=600 count=32 iflag=direct 2>/dev/null | sha256sum | cut -d ' ' -f 1");
            byte[] here = disks.Image("two-queues").Read(600 * 65536, 32 * 65536);
            Assert.Equal(guestSum, Convert.ToHexStringLower(SHA256.HashData(here)));
        }
    }
}

/// <summary>The same over split rings.</summary>
public sealed class GuestSplitDiskTests(SplitDiskGuest disks) : GuestDiskTests(disks), IClassFixture<SplitDiskGuest>;

/// <summary>The same over packed rings.</summary>
public sealed class GuestPackedDiskTests(PackedDiskGuest disks) : GuestDiskTests(disks), IClassFixture<PackedDiskGuest>;
