using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Tests.Kvm;

public sealed class AddressBusTests
{
    private readonly AddressBus _bus = new();

    [Fact]
    public void What_nobody_claims_reads_as_ones_and_is_counted()
    {
        byte[] data = new byte[4];
        _bus.Read(0x1000, data);
        _bus.Write(0x1000, data);
        Assert.Equal([0xFF, 0xFF, 0xFF, 0xFF], data);
        Assert.Equal((1L, 1L), (_bus.UnclaimedReads, _bus.UnclaimedWrites));
    }

    [Fact]
    public void An_access_reaches_the_range_that_has_it()
    {
        var devices = Enumerable.Range(0, 9).Select(_ => new BusRecorder(16)).ToArray();
        int[] order = [4, 1, 8, 0, 7, 2, 6, 3, 5];
        foreach (int i in order)
        {
            _bus.Add((ulong)i * 0x20, 16, devices[i], $"d{i}");
        }

        byte[] data = new byte[1];
        for (int i = 0; i < devices.Length; i++)
        {
            _bus.Read(((ulong)i * 0x20) + 15, data);
            _bus.Read(((ulong)i * 0x20) + 16, data);
            Assert.Equal(["R 15+1"], devices[i].Accesses);
        }

        Assert.Equal(9, _bus.UnclaimedReads);
        Assert.All(_bus.Ranges, range => Assert.Equal((1L, 0L), (range.Reads, range.Writes)));
        Assert.Equal(_bus.Ranges.OrderBy(range => range.Address), _bus.Ranges);
    }

    [Fact]
    public void H5_an_access_over_the_end_of_a_range_is_cut()
    {
        var first = new BusRecorder(2);
        var second = new BusRecorder(3);
        _bus.Add(0x1001, 2, first, "first");
        _bus.Add(0x1004, 3, second, "second");
        _bus.Write(0x1000, [1, 2, 3, 4, 5, 6, 7, 8]);
        Assert.Equal([2, 3], first.Content);
        Assert.Equal([5, 6, 7], second.Content);
        Assert.Equal(3, _bus.UnclaimedWrites);
        byte[] data = new byte[8];
        _bus.Read(0x1000, data);
        Assert.Equal([0xFF, 2, 3, 0xFF, 5, 6, 7, 0xFF], data);
    }

    [Fact]
    public void H5_an_access_at_the_very_end_of_the_address_space_wraps_to_its_start()
    {
        var last = new BusRecorder(1);
        var first = new BusRecorder(1);
        _bus.Add(ulong.MaxValue, 1, last, "last");
        _bus.Add(0, 1, first, "first");
        _bus.Write(ulong.MaxValue, [7, 8]);
        Assert.Equal((7, 8), (last.Content[0], first.Content[0]));
    }

    [Theory]
    [InlineData(0x1000, 0x10, false)]
    [InlineData(0x0FFF, 2, false)]
    [InlineData(0x100F, 1, false)]
    [InlineData(0x0F00, 0x1000, false)]
    [InlineData(0x1004, 4, false)]
    [InlineData(0x0FFF, 1, true)]
    [InlineData(0x1010, 1, true)]
    [InlineData(0x1010, 0, false)]
    [InlineData(0x2000, ulong.MaxValue, false)]
    public void A_range_that_overlaps_or_wraps_is_refused(ulong address, ulong sizeBytes, bool fits)
    {
        _bus.Add(0x1000, 0x10, new BusRecorder(16), "there");
        Assert.Equal(fits, _bus.TryAdd(address, sizeBytes, new BusRecorder(1), "new"));
        if (!fits)
        {
            Assert.Throws<InvalidOperationException>(() => _bus.Add(address, sizeBytes, new BusRecorder(1), "new"));
        }
    }

    [Fact]
    public void A_range_that_was_removed_is_free()
    {
        var device = new BusRecorder(16);
        _bus.Add(0x1000, 0x10, device, "d");
        Assert.Throws<ArgumentException>(() => _bus.Remove(0x1001));
        _bus.Remove(0x1000);
        Assert.Throws<ArgumentException>(() => _bus.Remove(0x1000));
        byte[] data = new byte[1];
        _bus.Read(0x1000, data);
        Assert.Equal(0xFF, data[0]);
        Assert.Empty(device.Accesses);
        Assert.True(_bus.TryAdd(0x1008, 0x10, device, "d"));
    }

    [Fact]
    public void Ranges_come_and_go_while_others_look_up()
    {
        var device = new SilentDevice();
        _bus.Add(0x5000, 0x10, device, "stays");
        using var end = new CancellationTokenSource();
        var reader = new Thread(() =>
        {
            Span<byte> data = stackalloc byte[4];
            while (!end.IsCancellationRequested)
            {
                _bus.Read(0x5000, data);
                Assert.Equal(0, data[0]);
            }
        });
        reader.Start();
        for (int i = 0; i < 2000; i++)
        {
            ulong address = i % 2 == 0 ? 0x4000u : 0x6000u;
            _bus.Add(address, 0x10, device, "goes");
            _bus.Remove(address);
        }

        end.Cancel();
        reader.Join();
    }

    private sealed class SilentDevice : IBusDevice
    {
        public void Read(ulong offset, Span<byte> data) => data.Clear();

        public void Write(ulong offset, ReadOnlySpan<byte> data)
        {
        }
    }
}
