using System.Diagnostics;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

public sealed class VirtioMmioTests
{
    [Fact]
    public void The_first_registers_say_what_the_device_is()
    {
        using var rig = new VirtioMmioRig();
        Assert.Equal(0x7472_6976u, rig[0x00]);
        Assert.Equal(2u, rig[0x04]);
        Assert.Equal(2u, rig[0x08]);
        Assert.Equal(0x1AF4u, rig[0x0C]);
        Assert.Equal(uint.MaxValue, rig[0xB0]); // no shared memory
        rig[0x14] = 1;
        Assert.Equal((uint)((VirtioFeatures.Version1 | VirtioFeatures.RingReset) >> 32), rig[0x10]);
        rig[0x30] = 2;
        Assert.Equal(256u, rig[0x34]);
        rig[0x30] = 3;
        Assert.Equal(0u, rig[0x34]);
    }

    [Fact]
    public void DRIVER_OK_starts_the_queues_and_the_value_of_a_kick_says_which()
    {
        using var rig = new VirtioMmioRig();
        rig.Start();
        VirtqueueSetup queue = rig.Function.Running[1];
        Assert.Equal(64, queue.Size);
        Assert.Equal(0x21_0000UL, queue.Descriptors.Value);
        Assert.Equal(0x1_0021_4000UL, queue.Driver.Value);
        Assert.Equal(0x2_0021_8000UL, queue.Device.Value);
        Assert.True(rig.Notify(1));
        Assert.True(rig.Function.WasKicked(1));
        Assert.False(rig.Function.WasKicked(0));
        Assert.False(rig.Notify(3));
        rig[0x50] = 2; // as an exit
        Assert.True(rig.Function.WasKicked(2));
    }

    [Fact]
    public void All_queues_share_the_line_and_the_status_always_tells_of_used_buffers()
    {
        using var rig = new VirtioMmioRig();
        Assert.Equal(0u, rig[0x60]);
        rig.Start();
        rig.Function.Call(0);
        Assert.Equal(1, rig.Interrupts.Pulses(VirtioMmioRig.Gsi));
        rig.Function.Call(2);
        Assert.Equal(2, rig.Interrupts.Pulses(VirtioMmioRig.Gsi));
        Assert.Equal(1u, rig[0x60]);
        rig[0x64] = 1;
        Assert.Equal(1u, rig[0x60]);
    }

    [Fact]
    public void A_change_of_configuration_shows_in_the_interrupt_status_until_it_is_acknowledged()
    {
        using var rig = new VirtioMmioRig();
        rig.Start();
        uint generation = rig[0xFC];
        rig.Function.ChangeConfig();
        Assert.Equal(generation + 1, rig[0xFC]);
        Assert.Equal(3u, rig[0x60]);
        Assert.Equal(1, rig.Interrupts.Pulses(VirtioMmioRig.Gsi));
        rig[0x64] = 1;
        Assert.Equal(3u, rig[0x60]);
        rig[0x64] = 3;
        Assert.Equal(1u, rig[0x60]);
        rig.Function.Break();
        Assert.Equal(0x4Fu, rig[0x70]);
        Assert.Equal(3u, rig[0x60]);
    }

    [Fact]
    public void A_reset_returns_when_the_device_has_stopped()
    {
        using var rig = new VirtioMmioRig(new FakeFunction { StopsBySelf = true, StopTime = TimeSpan.FromMilliseconds(30) });
        rig.Start();
        rig[0x70] = 0;
        Assert.False(rig.Function.IsStopping);
        Assert.Equal(0u, rig[0x70]);
        Assert.Equal(0u, rig[0x60]);
        Assert.Equal(0, rig.Doorbells.Count);
        rig.Start();
        Assert.True(rig.Function.IsRunning);
    }

    [Fact]
    public void A_device_that_does_not_stop_keeps_a_reset_for_a_bounded_time()
    {
        using var rig = new VirtioMmioRig(new FakeFunction());
        rig.Start();
        long start = Stopwatch.GetTimestamp();
        rig[0x70] = 0;
        Assert.InRange(Stopwatch.GetElapsedTime(start), TimeSpan.FromMilliseconds(900), TimeSpan.FromSeconds(8));
        Assert.NotEqual(0u, rig[0x70]);
        rig.Function.Complete();
        Assert.Equal(0u, rig[0x70]);
    }

    [Fact]
    public void Ready_zero_stops_a_queue_and_one_starts_it_again()
    {
        using var rig = new VirtioMmioRig();
        rig.Start();
        rig[0x30] = 1;
        rig[0x44] = 0;
        Assert.Equal(0u, rig[0x44]);
        Assert.False(rig.Notify(1));
        rig.SetUpQueue(1);
        Assert.Equal(["start", "stop 1", "start 1"], rig.Function.Orders);
        Assert.True(rig.Notify(1));
    }

    [Fact]
    public void A_queue_is_reset_alone_where_that_was_negotiated()
    {
        using var rig = new VirtioMmioRig(new FakeFunction());
        rig.Start();
        rig[0x30] = 2;
        rig[0xC0] = 1;
        Assert.Equal(1u, rig[0xC0]);
        rig.Function.Complete();
        Assert.Equal(0u, rig[0xC0]);
        Assert.Equal(0u, rig[0x44]);
        rig.SetUpQueue(2);
        Assert.Equal("start 2", rig.Function.Orders[^1]);
    }

    [Fact]
    public void Doorbells_that_the_host_refuses_come_as_exits()
    {
        using var rig = new VirtioMmioRig();
        rig.Doorbells.Fail = true;
        rig.Start();
        Assert.Equal(3, rig.Mmio.Refusals);
        Assert.False(rig.Notify(0));
        rig[0x50] = 0;
        Assert.True(rig.Function.WasKicked(0));
    }

    [Fact]
    public void H5_registers_take_double_words_only_and_configuration_any_width()
    {
        using var rig = new VirtioMmioRig();
        byte[] data = new byte[8];
        foreach ((uint offset, int lengthBytes) in new[] { (0u, 1), (0u, 2), (2u, 4), (0u, 8), (0x6Fu, 4), (0xFEu, 4), (1u, 3) })
        {
            Array.Clear(data);
            rig.Mmio.Read(offset, data.AsSpan(0, lengthBytes));
            Assert.All(data[..lengthBytes], value => Assert.Equal(0xFF, value));
        }

        rig.Mmio.Write(0x70, [1]);
        rig.Mmio.Write(0x70, [1, 0]);
        Assert.Equal(0u, rig[0x70]);
        rig.Mmio.Read(0x101, data.AsSpan(0, 2));
        Assert.Equal([2, 3], data[..2]);
        rig.Mmio.Write(0x100, [0x77]);
        Assert.Equal(0x77, rig.Function.Configuration[0]);
    }
}
