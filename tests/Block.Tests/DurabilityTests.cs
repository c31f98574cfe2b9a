using System.Buffers.Binary;
using Paravane.Backends.Block.Spec;
using Paravane.VirtioQueues.Driver;

namespace Paravane.Backends.Block.Tests;

/// <summary>What survives a power cut at any moment, against a disk that loses whatever it may (virtio 1.2 §5.2.6.2). One body for both ring formats.</summary>
public abstract class DurabilityTests<TDriver>
    where TDriver : struct, IDriverRing<TDriver>
{
    private const int Sectors = 32;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B7_a_flush_on_any_queue_keeps_every_write_that_completed_before_it(bool queues) => Run(queues, Cache.Volatile, 0);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B7_with_the_cache_turned_off_each_completed_write_is_durable(bool queues) => Run(queues, Cache.TurnedOff, 0);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B8_without_flush_and_writeback_each_completed_write_is_durable(bool queues) =>
        Run(queues, Cache.None, BlkFeatures.Flush | BlkFeatures.ConfigWce);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B8_with_the_writeback_byte_but_no_flush_the_cache_begins_turned_off(bool queues) => Run(queues, Cache.None, BlkFeatures.Flush);

    [Fact]
    public void Turning_the_cache_off_keeps_what_was_written_before()
    {
        var disk = new FakeDisk(Sectors * 512, queues: true);
        using var rig = new DiskRig<TDriver>(disk.Store());
        byte[] data = [.. Enumerable.Repeat((byte)5, 512)];
        Assert.Equal(BlkStatus.Ok, rig.Write(0, data).Status);
        Assert.Null(rig.Device.TryWriteConfig(BlkConfig.WritebackOffset, [0], restoring: false));
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(data, disk.Crash()[..512]);
        }
    }

    private static void Run(bool queues, Cache cache, ulong declined)
    {
        for (int seed = 1; seed <= 12; seed++)
        {
            var random = new Random(seed);
            var disk = new FakeDisk(Sectors * 512, queues, seed) { CannotAllocate = seed % 3 == 0 };
            using var device = new BlockDevice(disk.Store(), new BlockDeviceOptions { QueueCount = 2 });
            using var ram = new GuestRam();
            using var first = new DiskRig<TDriver>(device, declined, 64, 0, ram);
            using var second = new DiskRig<TDriver>(device, declined, 64, 0, ram, 1);
            if (cache == Cache.TurnedOff)
            {
                Assert.Null(device.TryWriteConfig(BlkConfig.WritebackOffset, [0], restoring: false));
            }

            var world = new World(disk, [first, second], random, cache == Cache.Volatile);
            for (int step = 0; step < 600; step++)
            {
                world.Step();
            }
        }
    }

    private enum Cache
    {
        Volatile,
        TurnedOff,
        None,
    }

    /// <summary>The driver's knowledge: for each sector all contents it ever asked for, and the oldest that a power cut may leave.</summary>
    private sealed class World(FakeDisk disk, DiskRig<TDriver>[] rigs, Random random, bool flushes)
    {
        private readonly List<ulong>[] _contents = [.. Enumerable.Range(0, Sectors).Select(_ => new List<ulong> { 0 })];
        private readonly int[] _completed = new int[Sectors]; // newest version whose request was answered
        private readonly int[] _stable = new int[Sectors];
        private readonly List<(int Rig, ushort Cookie, int Sector, int Count)> _writes = [];
        private readonly List<(int Rig, ushort Cookie, int[] Covered)> _flushes = [];
        private ulong _stamp = 1;

        public void Step()
        {
            int rig = random.Next(rigs.Length);
            switch (random.Next(8))
            {
                case < 3:
                    Send(rig);
                    break;

                case 3 when flushes && _flushes.Count < 4:
                    _flushes.Add((rig, rigs[rig].Send(DiskRig<TDriver>.Header(BlkRequestType.Flush, 0), 1), [.. _completed]));
                    break;

                case 7:
                    Check();
                    break;

                default:
                    rigs[rig].Turn();
                    break;
            }

            Collect();
        }

        private void Send(int rig)
        {
            int sector = random.Next(Sectors), count = Math.Min(random.Next(1, 5), Sectors - sector);

            // Two writes of one sector at a time have no order: not asked for.
            if (_writes.Count >= 8 || _writes.Any(write => write.Sector < sector + count && sector < write.Sector + write.Count))
            {
                return;
            }

            bool zeroes = random.Next(4) == 0;
            var data = new byte[count * 512];
            for (int i = 0; i < count; i++)
            {
                ulong content = zeroes ? 0 : _stamp++;
                BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(i * 512), content);
                _contents[sector + i].Add(content);
            }

            byte[] request = zeroes
                ? [.. DiskRig<TDriver>.Header(BlkRequestType.WriteZeroes, 0), .. Segment(sector, count)]
                : [.. DiskRig<TDriver>.Header(BlkRequestType.Out, (ulong)sector), .. data];
            _writes.Add((rig, rigs[rig].Send(request, 1), sector, count));
        }

        private byte[] Segment(int sector, int count)
        {
            var bytes = new byte[16];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)sector);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), (uint)count);
            bytes[12] = (byte)random.Next(2);
            return bytes;
        }

        private void Collect()
        {
            for (int i = _writes.Count - 1; i >= 0; i--)
            {
                (int rig, ushort cookie, int sector, int count) = _writes[i];
                if (rigs[rig].TryTake(cookie, out Answer? answer))
                {
                    Assert.Equal(BlkStatus.Ok, answer!.Status);
                    _writes.RemoveAt(i);
                    for (int s = sector; s < sector + count; s++)
                    {
                        _completed[s] = _contents[s].Count - 1;
                        _stable[s] = flushes ? _stable[s] : _completed[s];
                    }
                }
            }

            for (int i = _flushes.Count - 1; i >= 0; i--)
            {
                (int rig, ushort cookie, int[] covered) = _flushes[i];
                if (rigs[rig].TryTake(cookie, out Answer? answer))
                {
                    Assert.Equal(BlkStatus.Ok, answer!.Status);
                    _flushes.RemoveAt(i);
                    for (int s = 0; s < Sectors; s++)
                    {
                        _stable[s] = Math.Max(_stable[s], covered[s]);
                    }
                }
            }
        }

        private void Check()
        {
            byte[] image = disk.Crash();
            for (int s = 0; s < Sectors; s++)
            {
                ulong content = BinaryPrimitives.ReadUInt64LittleEndian(image.AsSpan(s * 512));
                Assert.True(_contents[s].Skip(_stable[s]).Contains(content), $"sector {s} holds {content}, older than the stable {_contents[s][_stable[s]]}");
            }
        }
    }
}

/// <summary>Over split rings.</summary>
public sealed class SplitDurabilityTests : DurabilityTests<SplitDriver>;

/// <summary>Over packed rings.</summary>
public sealed class PackedDurabilityTests : DurabilityTests<PackedDriver>;
