using System.Diagnostics;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Packed;
using Paravane.VirtioQueues.Split;

namespace Paravane.VirtioQueues.Tests.Inflight;

/// <summary>Records that were written by somebody else.</summary>
public sealed class HostileRecordTests
{
    private const int Size = 8;

    public static TheoryData<string> SplitDefects => ["version 2", "version 65535", "batch", "batch head", "batch link", "mark 2", "mark 255", "counter", "beyond the ring"];

    public static TheoryData<string> PackedDefects =>
    [
        "version 2", "version 65535", "used position", "old used position", "wrap", "old wrap", "free loop", "mark 2", "mark 255", "no descriptors",
        "too many descriptors", "two lists with too many", "last", "link", "overlap", "counter", "next flag at the end",
    ];

    [Theory, MemberData(nameof(SplitDefects))]
    public void I2_a_split_record_that_contradicts_itself_or_the_ring_breaks_the_queue(string defect)
    {
        // Entries 0 to 5 in flight but for 1 and 3, which were published and crossed out; the ring has 8 descriptors, the record 16 entries.
        using CrashRig<SplitRing, SplitDriver> rig = Prepare<SplitRing, SplitDriver>();
        Span<byte> part = rig.PartOf(CrashRig<SplitRing, SplitDriver>.Part);
        ref InflightSplitHeader header = ref MemoryMarshal.AsRef<InflightSplitHeader>(part);
        Span<InflightSplitEntry> entries = MemoryMarshal.Cast<byte, InflightSplitEntry>(part[16..]);
        switch (defect)
        {
            case "version 2":
                header.Version = 2;
                break;
            case "version 65535":
                header.Version = ushort.MaxValue;
                break;
            case "batch":
                header.UsedIdx -= Size + 1;
                break;
            case "batch head":
                header.UsedIdx--;
                header.LastBatchHead = 16;
                break;
            case "batch link":
                header.UsedIdx -= 2;
                entries[header.LastBatchHead].Next = ushort.MaxValue;
                break;
            case "mark 2":
                entries[0].Inflight = 2;
                break;
            case "mark 255":
                entries[1].Inflight = 255;
                break;
            case "counter":
                entries[0].Counter = ulong.MaxValue;
                break;
            default:
                entries[Size].Inflight = 1;
                break;
        }

        AssertBroken(rig);
    }

    [Theory, MemberData(nameof(PackedDefects))]
    public void I2_a_packed_record_that_contradicts_itself_or_the_ring_breaks_the_queue(string defect)
    {
        using CrashRig<PackedRing, PackedDriver> rig = Prepare<PackedRing, PackedDriver>();
        Span<byte> part = rig.PartOf(CrashRig<PackedRing, PackedDriver>.Part);
        ref InflightPackedHeader header = ref MemoryMarshal.AsRef<InflightPackedHeader>(part);
        Span<InflightPackedEntry> entries = MemoryMarshal.Cast<byte, InflightPackedEntry>(part[32..]);
        int first = 0, second = 2; // lists of one descriptor each, taken first and third
        Assert.Equal((1, 1, 1, 1), (entries[first].Inflight, entries[first].Num, entries[second].Inflight, entries[second].Num));
        switch (defect)
        {
            case "version 2":
                header.Version = 2;
                break;
            case "version 65535":
                header.Version = ushort.MaxValue;
                break;
            case "used position":
                header.UsedIdx = Size;
                break;
            case "old used position":
                header.OldUsedIdx = ushort.MaxValue;
                break;
            case "wrap":
                header.UsedWrap = 2;
                break;
            case "old wrap":
                header.OldUsedWrap = 255;
                break;
            case "free loop":
                entries[header.OldFreeHead].Next = header.OldFreeHead;
                break;
            case "mark 2":
                entries[first].Inflight = 2;
                break;
            case "mark 255":
                entries[first].Inflight = 255;
                break;
            case "no descriptors":
                entries[first].Num = 0;
                break;
            case "too many descriptors":
                entries[first].Num = Size + 1;
                break;
            case "two lists with too many":
                entries[first].Num = entries[second].Num = Size;
                break;
            case "last":
                entries[first].Last++;
                break;
            case "link":
                entries[first].Num = 2;
                entries[first].Flags |= 1;
                entries[first].Next = 16;
                break;
            case "overlap":
                entries[first].Num = 2;
                entries[first].Flags |= 1;
                entries[first].Next = (ushort)second;
                entries[first].Last = (ushort)second;
                break;
            case "counter":
                entries[first].Counter = ulong.MaxValue;
                break;
            default:
                entries[first].Flags |= 1;
                break;
        }

        AssertBroken(rig);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void I2_whatever_stands_in_a_split_record_ends_in_bounded_time_and_writes_nothing_beyond_its_own(int seed) => Fuzz<SplitRing, SplitDriver>(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void I2_whatever_stands_in_a_packed_record_ends_in_bounded_time_and_writes_nothing_beyond_its_own(int seed) => Fuzz<PackedRing, PackedDriver>(seed);

    [Fact]
    public void I2_a_chain_that_the_record_names_and_the_ring_does_not_hold_breaks_the_queue()
    {
        using CrashRig<SplitRing, SplitDriver> split = Prepare<SplitRing, SplitDriver>();
        var entries = MemoryMarshal.Cast<byte, InflightSplitEntry>(split.PartOf(1)[16..]);
        entries[7].Inflight = 1; // never offered: its descriptor is all zeroes, and address 0 is no memory
        split.RestartUntilAlive();
        Assert.True(split.Queue.Unserved != 0);
        split.Queue.Fill(64);
        Assert.Equal(ChainFault.BufferUnmapped, split.Queue.Fault);

        using CrashRig<PackedRing, PackedDriver> packed = Prepare<PackedRing, PackedDriver>();
        MemoryMarshal.Cast<byte, InflightPackedEntry>(packed.PartOf(1)[32..])[0].Addr = 0xdead_0000_0000;
        packed.RestartUntilAlive();
        packed.Queue.Fill(64);
        Assert.Equal(ChainFault.BufferUnmapped, packed.Queue.Fault);
    }

    [Theory]
    [InlineData(RingFormat.Split)]
    [InlineData(RingFormat.Packed)]
    public void I3_a_queue_without_a_part_or_with_more_descriptors_than_its_part_is_refused(RingFormat format)
    {
        using MemFd file = InflightRecord.Create(format, 2, 16);
        using InflightRecord record = InflightRecord.Map(file, 0, file.LengthBytes, 2, 16);
        Assert.Null(record.FindError(1, 16, format));
        Assert.Contains("queue 2", record.FindError(2, 16, format), StringComparison.Ordinal);
        Assert.Contains("0x11", record.FindError(1, 17, format), StringComparison.Ordinal);
        Assert.Equal(format == RingFormat.Packed, record.FindError(1, 16, RingFormat.Packed) is null);
    }

    [Theory]
    [InlineData(0UL, 0UL)]
    [InlineData(1UL, 4096UL)]
    [InlineData(4097UL, 0UL)]
    [InlineData(4096UL, 8UL)]
    [InlineData(64UL, ulong.MaxValue)]
    [InlineData(ulong.MaxValue, 64UL)]
    [InlineData(64UL, 4UL)]
    public void I3_a_record_outside_its_file_or_misaligned_is_refused(ulong size, ulong offset)
    {
        using MemFd file = MemFd.Create("inflight-test", 4096);
        Assert.Throws<GuestMemoryException>(() => InflightRecord.Map(file, offset, size, 1, 1));
    }

    [Fact]
    public void I2_a_record_whose_pages_could_be_taken_away_is_refused()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, new byte[4096]);
            using var handle = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
            using var file = new FileDescriptor((int)handle.DangerousGetHandle());
            handle.SetHandleAsInvalid();
            Assert.Contains("can shrink", Assert.Throws<GuestMemoryException>(() => InflightRecord.Map(file, 0, 4096, 1, 1)).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_record_may_begin_anywhere_in_its_file()
    {
        using MemFd file = MemFd.Create("inflight-test", 3 * 4096);
        using InflightRecord record = InflightRecord.Map(file, 4096 + 8, 4096, 2, 16);
        Assert.Null(record.FindError(1, 16, RingFormat.Packed));
    }

    private static CrashRig<TRing, TDriver> Prepare<TRing, TDriver>()
        where TRing : struct, IRing<TRing>
        where TDriver : struct, IDriverRing<TDriver>
    {
        var rig = new CrashRig<TRing, TDriver>(Size, entries: 16);
        for (int i = 0; i < 6; i++)
        {
            Assert.True(rig.Send(1));
        }

        rig.Show();
        Assert.Equal(6, rig.Take(6, 6));
        rig.Complete(3);
        rig.Complete(1);
        rig.Queue.Publish();
        return rig;
    }

    private static void AssertBroken<TRing, TDriver>(CrashRig<TRing, TDriver> rig)
        where TRing : struct, IRing<TRing>
        where TDriver : struct, IDriverRing<TDriver>
    {
        rig.Restart();
        Assert.Equal(ChainFault.InflightRecord, rig.Queue.Fault);
        Assert.Equal(0, rig.Queue.Fill(64));
        Assert.True(rig.Queue.TryArm());
        rig.Queue.ReturnUnused();
        rig.Queue.Publish();

        // With a record that is as good as new the ring is well again.
        rig.Record.Forget();
        rig.Restart();
        Assert.Equal(ChainFault.None, rig.Queue.Fault);
    }

    private static void Fuzz<TRing, TDriver>(int seed)
        where TRing : struct, IRing<TRing>
        where TDriver : struct, IDriverRing<TDriver>
    {
        var random = new Random(seed);
        var clock = new Stopwatch();
        int broken = 0, alive = 0;
        for (int round = 0; round < 400; round++)
        {
            using CrashRig<TRing, TDriver> rig = Prepare<TRing, TDriver>();
            Span<byte> part = rig.PartOf(CrashRig<TRing, TDriver>.Part);
            for (int i = random.Next(1, 6); i > 0; i--)
            {
                // Values near those that mean something, in the fields that are used, and now and then anything anywhere.
                int at = random.Next(4) == 0 ? random.Next(part.Length) : random.Next(3) == 0 ? random.Next(24) : (random.Next(6) * 32) + random.Next(40);
                part[at % part.Length] = (byte)(random.Next(2) == 0 ? random.Next(20) : random.Next(256));
            }

            Span<byte> guest = rig.Memory.Bytes(new GuestAddress(TestMemory.Base), (int)rig.Memory.SizeBytes);
            QueueConfig config = rig.Config;
            (uint descriptorBytes, _, uint deviceBytes) = config.AreaSizes();
            byte[] before = guest.ToArray();
            clock.Restart();
            rig.Restart();
            for (int turn = 0; turn < 4; turn++)
            {
                int count = rig.Queue.Fill(64);
                for (int i = 0; i < count; i++)
                {
                    rig.Queue.Complete(rig.Queue.Peek(i).Token, 0);
                }

                rig.Queue.Consume(count);
                rig.Queue.Publish();
                rig.Queue.ReturnUnused();
            }

            Assert.True(clock.ElapsedMilliseconds < 1000, $"{clock.ElapsedMilliseconds} ms, seed {seed}, round {round}");
            _ = rig.Queue.Fault == ChainFault.None ? alive++ : broken++;
            Restore(config.DescriptorArea, CrashRig<TRing, TDriver>.Packed ? descriptorBytes : 0);
            Restore(config.DeviceArea, deviceBytes);
            Assert.True(guest.SequenceEqual(before), $"guest memory outside the ring changed, seed {seed}, round {round}");
            Assert.Equal(-1, rig.PartOf(0).IndexOfAnyExcept(CrashRig<TRing, TDriver>.Canary));
            Assert.Equal(-1, rig.PartOf(2).IndexOfAnyExcept(CrashRig<TRing, TDriver>.Canary));

            void Restore(GuestAddress at, uint bytes)
            {
                int offset = (int)(at.Value - TestMemory.Base);
                before.AsSpan(offset, (int)bytes).CopyTo(rig.Memory.Bytes(at, (int)bytes));
            }
        }

        Assert.True(broken > 20 && alive > 20, $"{broken} broken, {alive} alive");
    }
}
