using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Spec;
using Paravane.VirtioQueues.Split;

namespace Paravane.Hypervisor.Tests.Bench;

public sealed class BlockLoadTests
{
    private const uint BlockBytes = 1024;
    private const int Blocks = 256;
    private const int Depth = 16;

    [Theory]
    [InlineData(RingFormat.Split, false)]
    [InlineData(RingFormat.Split, true)]
    [InlineData(RingFormat.Packed, false)]
    [InlineData(RingFormat.Packed, true)]
    public void A_right_disk_is_found_right(RingFormat format, bool indirect)
    {
        LoadCounters counters = Run(format, DiskFault.None, readPercent: 50, random: true, indirect, verify: true);
        Assert.Null(counters.FirstError);
        Assert.Equal((0L, 0L), (counters.Errors, counters.Lost));
        Assert.True(counters.Verified >= Blocks + 1000, "the end alone reads every block once");
        Assert.Equal(counters.Sent, counters.Done);
        Assert.Equal(counters.Done * BlockBytes, counters.Bytes);
        Assert.Equal(counters.Done, counters.Latency.Count);
    }

    public static TheoryData<DiskFault, string> Faults() => new()
    {
        { DiskFault.FlipsABitOnRead, "is wrong from byte 511 on" },
        { DiskFault.FlipsABitOnWrite, "is wrong from byte 0 on" },
        { DiskFault.ForgetsAWrite, "is wrong from byte 0 on" },
        { DiskFault.WritesElsewhere, "is wrong from byte 0 on" },
        { DiskFault.ReadsNothing, "is wrong from byte 0 on" },
        { DiskFault.NeverAnswers, "requests never came back" },
        { DiskFault.AnswersWithoutStatus, "completed without a status" },
        { DiskFault.ReportsAnError, "IOERR" },
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public void Each_fault_of_a_disk_is_found(DiskFault fault, string expected)
    {
        foreach (RingFormat format in Enum.GetValues<RingFormat>())
        {
            LoadCounters counters = Run(format, fault, readPercent: 50, random: true, indirect: true, verify: true);
            Assert.NotEqual(0, counters.Errors);
            Assert.Contains(expected, counters.FirstError, StringComparison.Ordinal);
            Assert.Equal(fault == DiskFault.NeverAnswers, counters.Lost > 0);
        }
    }

    [Theory]
    [InlineData(100, true, true)]
    [InlineData(100, false, false)]
    [InlineData(0, true, true)]
    [InlineData(0, false, true)]
    [InlineData(70, true, false)]
    public void Without_verification_every_mix_keeps_the_depth(int readPercent, bool random, bool indirect)
    {
        LoadCounters counters = Run(RingFormat.Split, DiskFault.None, readPercent, random, indirect, verify: false);
        Assert.Equal((0L, 0L, 0L), (counters.Errors, counters.Lost, counters.Verified));
        Assert.True(counters.Done >= 1000 * Depth);
        Assert.Equal(counters.Sent, counters.Done);
    }

    [Fact]
    public void The_record_agrees_with_the_image_and_notices_when_it_changes()
    {
        using var rig = new Rig(RingFormat.Split, DiskFault.None, 50, random: true, indirect: true, verify: true);
        LoadRig.Run(rig.Load, rig.Serve);
        string path = Path.Combine(Path.GetTempPath(), $"paravane-image-{Guid.NewGuid():N}");
        try
        {
            byte[] image = rig.Image();
            File.WriteAllBytes(path, image);
            using (Microsoft.Win32.SafeHandles.SafeFileHandle handle = File.OpenHandle(path))
            {
                Assert.Null(rig.Load.FindMismatch(handle));
            }

            image[(512 * 7) + 3] ^= 1;
            File.WriteAllBytes(path, image);
            using (Microsoft.Win32.SafeHandles.SafeFileHandle handle = File.OpenHandle(path))
            {
                Assert.Equal("sector 7 of the image is wrong from byte 3 on", rig.Load.FindMismatch(handle));
            }

            File.WriteAllBytes(path, image[..^512]);
            image[(512 * 7) + 3] ^= 1;
            File.WriteAllBytes(path, image[..^512]);
            using (Microsoft.Win32.SafeHandles.SafeFileHandle handle = File.OpenHandle(path))
            {
                Assert.Contains("is wrong", rig.Load.FindMismatch(handle), StringComparison.Ordinal);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_turn_allocates_nothing(bool verify)
    {
        using var rig = new Rig(RingFormat.Packed, DiskFault.None, 70, random: true, indirect: true, verify);
        while (!rig.Load.IsReady || rig.Load.Counters.Done < 2000)
        {
            _ = rig.Load.RunTurn();
            _ = rig.Serve();
        }

        // A path that is taken for the first time, as after a pause of the whole machine, may initialise something; a turn that allocates does so again.
        long allocated = 1;
        for (int pass = 0; pass < 2 && allocated != 0; pass++)
        {
            allocated = LoadRig.AllocatedByTurns(rig.Load, rig.Serve);
        }

        Assert.Equal(0, allocated);
        rig.Load.Abandon();
    }

    private static LoadCounters Run(RingFormat format, DiskFault fault, int readPercent, bool random, bool indirect, bool verify)
    {
        using var rig = new Rig(format, fault, readPercent, random, indirect, verify);
        LoadRig.Run(rig.Load, rig.Serve);
        return rig.Load.Counters;
    }

    private sealed class Rig : IDisposable
    {
        private readonly GuestRam _ram = GuestRam.Create(4 << 20);
        private readonly FrontendQueue _queue;
        private readonly IDisposable _disk;

        public Rig(RingFormat format, DiskFault fault, int readPercent, bool random, bool indirect, bool verify)
        {
            ulong features = VirtioFeatures.Version1 | VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc | (format == RingFormat.Packed ? VirtioFeatures.RingPacked : 0);
            _queue = new FrontendQueue(_ram, 0, 64, features, indirect ? 3 : 0);
            var options = new BlockLoadOptions
            {
                Depth = Depth,
                BlockBytes = BlockBytes,
                ReadPercent = readPercent,
                Random = random,
                FirstBlock = 0,
                BlockCount = Blocks,
                Indirect = indirect,
                Verify = verify,
                Seed = 11,
                Name = "queue 0",
                Kick = _queue.Kick,
                Call = _queue.Call,
            };
            if (format == RingFormat.Packed)
            {
                Load = new BlockLoad<PackedDriver>(options, _queue.Ring, _ram);
                var disk = new TinyDisk<PackedRing>(_queue, _ram, (int)BlockBytes * Blocks, fault);
                (_disk, Serve, Image) = (disk, disk.Serve, () => disk.Image.ToArray());
            }
            else
            {
                Load = new BlockLoad<SplitDriver>(options, _queue.Ring, _ram);
                var disk = new TinyDisk<SplitRing>(_queue, _ram, (int)BlockBytes * Blocks, fault);
                (_disk, Serve, Image) = (disk, disk.Serve, () => disk.Image.ToArray());
            }
        }

        public IBlockLoad Load { get; }

        public Func<bool> Serve { get; }

        public Func<byte[]> Image { get; }

        public void Dispose()
        {
            _disk.Dispose();
            _queue.Dispose();
            _ram.Dispose();
        }
    }
}
