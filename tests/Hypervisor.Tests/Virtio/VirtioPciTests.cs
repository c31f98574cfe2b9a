using System.Diagnostics;
using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Pci;
using Paravane.Hypervisor.Virtio;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Virtio;

public sealed class VirtioPciTests
{
    private const byte Vendor = PciConfig.VendorCapability;

    [Theory]
    [InlineData(1, 0x1041u, 0x020000u)]
    [InlineData(2, 0x1042u, 0x018000u)]
    [InlineData(4, 0x1044u, 0xFF0000u)]
    public void Ids_and_class_say_what_the_device_is(ushort id, uint device, uint classCode)
    {
        using var rig = new VirtioPciRig(new FakeFunction { DeviceId = id });
        Assert.Equal(0x1AF4u | (device << 16), rig.Ecam(rig.Slot, PciConfig.Vendor));
        Assert.Equal((classCode << 8) | 1, rig.Ecam(rig.Slot, PciConfig.Revision));
        Assert.True(rig.Ecam(rig.Slot, PciConfig.Subsystem, 2) >= 0x40);
        Assert.Equal(1UL, rig.Ecam(rig.Slot, PciConfig.InterruptPin, 1));
    }

    [Fact]
    public void Capabilities_describe_the_bar()
    {
        using var rig = new VirtioPciRig();
        Assert.NotEqual(0UL, rig.Ecam(rig.Slot, PciConfig.Status, 2) & PciConfig.StatusCapabilities);
        Assert.Equal((0UL, 0x0000UL, 64UL), Described(1));
        Assert.Equal((0UL, 0x3000UL, 12UL), Described(2));
        Assert.Equal(4UL, rig.Ecam(rig.Slot, rig.Capability(Vendor, 2) + 16));
        Assert.Equal(20UL, rig.Ecam(rig.Slot, rig.Capability(Vendor, 2) + 2, 1));
        Assert.Equal((0UL, 0x1000UL, 1UL), Described(3));
        Assert.Equal((0UL, 0x2000UL, 24UL), Described(4));
        Assert.NotEqual(0, rig.Capability(Vendor, 5));
        int msiX = rig.Capability(PciConfig.MsiXCapability);
        Assert.Equal(3UL, rig.Ecam(rig.Slot, msiX + 2, 2));
        Assert.Equal(0x4000UL, rig.Ecam(rig.Slot, msiX + 4));
        Assert.Equal(0x5000UL, rig.Ecam(rig.Slot, msiX + 8));
        rig.SetEcam(rig.Slot, PciConfig.Bar0, 0xFFFF_FFFF);
        Assert.Equal(0xFFFF_8004UL, rig.Ecam(rig.Slot, PciConfig.Bar0));
        rig.SetEcam(rig.Slot, PciConfig.Bar0, rig.Bar);

        (ulong Bar, ulong Offset, ulong Length) Described(byte type)
        {
            int at = rig.Capability(Vendor, type);
            return (rig.Ecam(rig.Slot, at + 4, 1), rig.Ecam(rig.Slot, at + 8), rig.Ecam(rig.Slot, at + 12));
        }
    }

    [Theory]
    [InlineData(255, 0x8000u)]
    [InlineData(256, 0x8000u)]
    [InlineData(1025, 0x10000u)]
    [InlineData(4096, 0x10000u)]
    [InlineData(65535, 0x80000u)]
    public void A_device_of_many_queues_still_fits(int queues, uint barBytes)
    {
        var layout = new VirtioPciLayout(queues, 64);
        Assert.Equal(barBytes, layout.BarBytes);
        Assert.Equal(Math.Min(queues + 1, 2048), layout.Vectors);
        Assert.True(VirtioPciLayout.Notify + layout.NotifyBytes <= layout.Table);
        Assert.True(layout.Table + ((uint)layout.Vectors * 16) <= layout.Pending);
        Assert.True(layout.Pending + ((uint)layout.Vectors / 8) < layout.BarBytes);
    }

    [Fact]
    public void The_guest_is_offered_what_can_be_served()
    {
        using var rig = new VirtioPciRig(new FakeFunction { Features = ulong.MaxValue & ~VirtioFeatures.RingReset });
        ulong offered = rig.Offered();
        const ulong hidden = VirtioFeatures.ProtocolFeatures | VirtioFeatures.LogAll | VirtioFeatures.NotificationData | VirtioFeatures.RingReset;
        Assert.Equal(0UL, offered & hidden);
        Assert.NotEqual(0UL, offered & VirtioFeatures.Version1);
        Assert.NotEqual(0UL, offered & VirtioFeatures.RingPacked);
        rig.SetCommon(0, 2, 4);
        Assert.Equal(0UL, rig.Common(4, 4));
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(1UL)]
    [InlineData(VirtioFeatures.Version1 | VirtioFeatures.LogAll)]
    [InlineData(VirtioFeatures.Version1 | 2)]
    public void Features_that_were_not_offered_or_lack_VERSION_1_are_not_OK(ulong features)
    {
        using var rig = new VirtioPciRig();
        rig.Status = VirtioPciRig.Acknowledge | VirtioPciRig.Driver;
        rig.Accept(features);
        rig.Status = VirtioPciRig.Acknowledge | VirtioPciRig.Driver | VirtioPciRig.FeaturesOk;
        Assert.Equal(VirtioPciRig.Acknowledge | VirtioPciRig.Driver, rig.Status);
        rig.Status = VirtioPciRig.Acknowledge | VirtioPciRig.Driver | VirtioPciRig.FeaturesOk | VirtioPciRig.DriverOk;
        Assert.False(rig.Function.IsRunning);
        rig.Accept(VirtioFeatures.Version1);
        rig.Status = VirtioPciRig.Acknowledge | VirtioPciRig.Driver | VirtioPciRig.FeaturesOk;
        Assert.NotEqual(0, rig.Status & VirtioPciRig.FeaturesOk);
    }

    [Fact]
    public void DRIVER_OK_starts_the_enabled_queues_as_the_driver_set_them_up()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        Assert.True(rig.Function.IsRunning);
        Assert.Equal(VirtioFeatures.Version1 | VirtioFeatures.RingReset | 1, rig.Function.StartedFeatures);
        Assert.Equal([0, 1, 2], rig.Function.Running.Keys.Order());
        VirtqueueSetup queue = rig.Function.Running[1];
        Assert.Equal(128, queue.Size);
        Assert.Equal(0x11_0000UL, queue.Descriptors.Value);
        Assert.Equal(0x1_0011_4000UL, queue.Driver.Value);
        Assert.Equal(0x11_8000UL, queue.Device.Value);
        Assert.NotNull(queue.Call);
        Assert.Equal(3, rig.Doorbells.Count);
    }

    [Fact]
    public void A_queue_that_is_enabled_later_starts_alone()
    {
        using var rig = new VirtioPciRig(new FakeFunction(queues: 1));
        rig.Status = VirtioPciRig.Acknowledge | VirtioPciRig.Driver;
        rig.Accept(VirtioFeatures.Version1);
        rig.Status = VirtioPciRig.Acknowledge | VirtioPciRig.Driver | VirtioPciRig.FeaturesOk | VirtioPciRig.DriverOk;
        Assert.Empty(rig.Function.Running);
        rig.SetUpQueue(0, null);
        Assert.Equal(["start", "start 0"], rig.Function.Orders);
        Assert.True(rig.Doorbells.Ring(rig.NotifyAddress(0), 2, 0));
    }

    [Fact]
    public void Registers_of_an_enabled_queue_are_fixed()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        rig.SetCommon(22, 1, 2);
        rig.SetCommon(24, 64, 2);
        rig.SetCommon(32, 0x666000, 8);
        rig.SetCommon(28, 0, 2);
        Assert.Equal(128UL, rig.Common(24, 2));
        Assert.Equal(0x11_0000UL, rig.Common(32, 8));
        Assert.Equal(1UL, rig.Common(28, 2));
        Assert.Equal(["start"], rig.Function.Orders);
    }

    [Fact]
    public void Status_is_zero_only_when_the_device_has_stopped()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        rig.Status = 0;
        Assert.NotEqual(0, rig.Status);
        Assert.Equal(0, rig.Doorbells.Count);
        rig.Status = VirtioPciRig.Acknowledge; // out of turn
        rig.Status = 0;
        Assert.Equal(["start", "stop"], rig.Function.Orders);
        rig.Function.Complete();
        Assert.Equal(0, rig.Status);
        rig.SetCommon(22, 1, 2);
        Assert.Equal(256UL, rig.Common(24, 2));
        Assert.Equal(0xFFFFUL, rig.Common(26, 2));
        Assert.Equal(0UL, rig.Common(28, 2));
        Assert.Equal(0UL, rig.Common(32, 8));
        Assert.Equal(0xFFFFUL, rig.Common(16, 2));
        rig.Start();
        Assert.True(rig.Function.IsRunning);
    }

    [Fact]
    public void A_device_that_needs_a_reset_says_so_by_status_and_interrupt_until_it_is_reset()
    {
        using var rig = new VirtioPciRig();
        rig.Function.Break();
        Assert.Equal(0, rig.Status);
        rig.Start();
        rig.Function.Break();
        Assert.NotEqual(0, rig.Status & VirtioPciRig.NeedsReset);
        Assert.Equal(1, rig.Interrupts.Raised(VirtioPciRig.Message(0)));
        rig.Status = 0;
        rig.Function.Complete();
        Assert.Equal(0, rig.Status);
    }

    [Fact]
    public void A_change_of_configuration_moves_the_generation_and_raises_the_configuration_vector()
    {
        using var rig = new VirtioPciRig();
        rig.Function.ChangeConfig();
        rig.Start();
        Assert.Equal(1UL, rig.Common(21, 1));
        Assert.Equal(0, rig.Interrupts.Raised(VirtioPciRig.Message(0)));
        rig.Function.ChangeConfig();
        Assert.Equal(2UL, rig.Common(21, 1));
        Assert.Equal(1, rig.Interrupts.Raised(VirtioPciRig.Message(0)));
        rig.SetCommon(16, 0xFFFF, 2);
        rig.Function.ChangeConfig();
        Assert.Equal(1, rig.Interrupts.RaisedInAll());
    }

    [Fact]
    public void Device_configuration_is_the_functions_in_any_width()
    {
        using var rig = new VirtioPciRig();
        Assert.Equal(0x0807_0605_0403_0201UL, rig.Memory(rig.Bar + 0x2000, 8));
        Assert.Equal(0x0302UL, rig.Memory(rig.Bar + 0x2001, 2));
        rig.SetMemory(rig.Bar + 0x2003, 0xAB, 1);
        Assert.Equal(0xAB, rig.Function.Configuration[3]);
        Assert.Equal(0xFFUL, rig.Memory(rig.Bar + 0x2018, 1));
    }

    [Fact]
    public void Used_buffers_raise_the_vector_of_their_queue()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        rig.Function.Call(2);
        Assert.Equal(1, rig.Interrupts.Raised(VirtioPciRig.Message(3)));
        Assert.Equal(1, rig.Interrupts.RaisedInAll());
        Assert.Equal(0UL, rig.Memory(rig.Bar + 0x1000, 1)); // no interrupt status with MSI-X
        rig.Mask(3);
        rig.Function.Call(2);
        Assert.Equal(0b1000UL, rig.Pending);
        rig.Unmask(3);
        Assert.Equal(2, rig.Interrupts.Raised(VirtioPciRig.Message(3)));
    }

    [Fact]
    public void A_running_queue_changes_its_vector_and_two_may_share_one()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        rig.SetCommon(22, 1, 2);
        rig.SetCommon(26, 1, 2);
        Assert.Equal(1UL, rig.Common(26, 2));
        Assert.Equal("call 1", rig.Function.Orders[^1]);
        Assert.Same(rig.Function.Calls[0], rig.Function.Calls[1]);
        rig.Function.Call(1);
        Assert.Equal(1, rig.Interrupts.Raised(VirtioPciRig.Message(1)));
        rig.SetCommon(26, 0xFFFF, 2);
        Assert.Null(rig.Function.Calls[1]);
        rig.SetCommon(26, 0xFFFF, 2);
        Assert.Equal(["start", "call 1", "call 1"], rig.Function.Orders);
    }

    [Fact]
    public void H5_vectors_that_do_not_exist_read_back_as_none()
    {
        using var rig = new VirtioPciRig();
        foreach (uint vector in new[] { 4u, 5u, 0x7FFFu, 0xFFFEu })
        {
            rig.SetCommon(16, vector, 2);
            Assert.Equal(0xFFFFUL, rig.Common(16, 2));
            rig.SetCommon(26, vector, 2);
            Assert.Equal(0xFFFFUL, rig.Common(26, 2));
        }

        rig.SetCommon(26, 3, 2);
        Assert.Equal(3UL, rig.Common(26, 2));
    }

    [Fact]
    public void H5_queues_that_do_not_exist_have_size_zero_and_take_nothing()
    {
        using var rig = new VirtioPciRig();
        foreach (uint queue in new[] { 3u, 255u, 0xFFFFu })
        {
            rig.SetUpQueue((int)queue, 1);
            Assert.Equal(0UL, rig.Common(24, 2));
            Assert.Equal(0UL, rig.Common(28, 2));
            Assert.Equal(0UL, rig.Common(32, 8));
            Assert.Equal(0xFFFFUL, rig.Common(26, 2));
            rig.SetCommon(58, 1, 2);
            Assert.Equal(0UL, rig.Common(58, 2));
        }
    }

    [Fact]
    public void H5_impossible_queue_sizes_are_not_taken()
    {
        using var rig = new VirtioPciRig();
        rig.SetCommon(24, 0, 2);
        rig.SetCommon(24, 257, 2);
        rig.SetCommon(24, 0xFFFF, 2);
        Assert.Equal(256UL, rig.Common(24, 2));
    }

    [Fact]
    public void Without_MSI_X_used_buffers_set_the_interrupt_status_and_the_wire_until_it_is_read()
    {
        using var rig = new VirtioPciRig();
        rig.Start(msiX: false);
        Assert.False(rig.Interrupts.Line(rig.Gsi));
        rig.Function.Call(1);
        VirtioPciRig.Eventually(() => rig.Interrupts.Line(rig.Gsi), "the wire goes up");
        Assert.NotEqual(0UL, rig.Ecam(rig.Slot, PciConfig.Status, 2) & PciConfig.StatusInterrupt);
        Assert.Equal(1UL, rig.Memory(rig.Bar + 0x1000, 1));
        Assert.False(rig.Interrupts.Line(rig.Gsi));
        Assert.Equal(0UL, rig.Memory(rig.Bar + 0x1000, 1));
        rig.Function.ChangeConfig();
        Assert.True(rig.Interrupts.Line(rig.Gsi));
        Assert.Equal(2UL, rig.Memory(rig.Bar + 0x1000, 1));
        rig.Function.Call(0);
        VirtioPciRig.Eventually(() => rig.Interrupts.Line(rig.Gsi), "the wire goes up again");
        rig.Status = 0;
        rig.Function.Complete();
        Assert.False(rig.Interrupts.Line(rig.Gsi));
        Assert.Equal(0, rig.Interrupts.GsisTaken);
    }

    [Fact]
    public void Turning_MSI_X_on_and_off_while_queues_run_loses_no_interrupt()
    {
        using var rig = new VirtioPciRig();
        rig.Start(msiX: false);
        EventFd? wired = rig.Function.Calls[1];
        rig.Function.Call(1);
        VirtioPciRig.Eventually(() => rig.Interrupts.Line(rig.Gsi), "the wire goes up");
        for (ushort i = 0; i < 3; i++)
        {
            rig.SetCommon(22, i, 2);
            rig.SetCommon(26, i + 1u, 2);
            rig.Unmask(i + 1);
        }

        rig.EnableMsiX();
        Assert.False(rig.Interrupts.Line(rig.Gsi));
        Assert.Equal(1, rig.Interrupts.Raised(VirtioPciRig.Message(2)));
        Assert.NotSame(wired, rig.Function.Calls[1]);
        int before = rig.Interrupts.Raised(VirtioPciRig.Message(2));
        wired!.Signal(); // the device has not heard of it yet
        VirtioPciRig.Eventually(() => rig.Interrupts.Raised(VirtioPciRig.Message(2)) > before, "a late call by the old way arrives");

        rig.EnableMsiX(false);
        Assert.True(rig.Interrupts.Line(rig.Gsi));
        Assert.Same(wired, rig.Function.Calls[1]);
        Assert.Equal(1UL, rig.Memory(rig.Bar + 0x1000, 1));
        Assert.Equal(0, rig.Interrupts.GsisTaken);
    }

    [Fact]
    public void Doorbells_take_kicks_of_any_width_and_move_with_the_bar()
    {
        using var rig = new VirtioPciRig();
        Assert.False(rig.Doorbells.Ring(rig.NotifyAddress(0), 2, 0));
        rig.Start();
        Assert.True(rig.Doorbells.Ring(rig.NotifyAddress(2), 2, 2));
        Assert.True(rig.Doorbells.Ring(rig.NotifyAddress(2), 4, 77));
        Assert.True(rig.Function.WasKicked(2));
        Assert.False(rig.Function.WasKicked(0));
        ulong old = rig.NotifyAddress(1);
        rig.Bar = AddressMap.Pci32 + 0x20_0000;
        rig.SetEcam(rig.Slot, PciConfig.Bar0, rig.Bar);
        rig.SetEcam(rig.Slot, PciConfig.Bar0 + 4, rig.Bar >> 32);
        Assert.False(rig.Doorbells.Ring(old, 2, 1));
        Assert.True(rig.Doorbells.Ring(rig.NotifyAddress(1), 2, 1));
        Assert.True(rig.Function.WasKicked(1));
        rig.Decode(rig.Slot, false);
        Assert.Equal(0, rig.Doorbells.Count);
        rig.Decode(rig.Slot, true);
        Assert.Equal(3, rig.Doorbells.Count);
    }

    [Fact]
    public void Kicks_that_come_as_exits_reach_running_queues_only()
    {
        using var rig = new VirtioPciRig();
        rig.Doorbells.Fail = true;
        rig.SetMemory(rig.NotifyAddress(1), 1, 2);
        Assert.False(rig.Function.WasKicked(1));
        rig.Start();
        Assert.Equal(3, rig.Pci.Refusals);
        rig.SetMemory(rig.NotifyAddress(1), 1, 2);
        Assert.True(rig.Function.WasKicked(1));
        rig.SetMemory(rig.NotifyAddress(3), 3, 2); // no such queue
        Assert.False(rig.Function.WasKicked(0) || rig.Function.WasKicked(1) || rig.Function.WasKicked(2));
    }

    [Fact]
    public void H6_a_kick_that_comes_as_an_exit_never_waits_for_a_back_end_that_does_not_read()
    {
        using var rig = new VirtioPciRig();
        rig.Doorbells.Fail = true;
        rig.Start();
        Fill(rig.Function.KickOf(1));
        var waits = new TimeSpan[200];
        for (int i = 0; i < waits.Length; i++)
        {
            long start = Stopwatch.GetTimestamp();
            rig.SetMemory(rig.NotifyAddress(1), 1, 2);
            waits[i] = Stopwatch.GetElapsedTime(start);
        }

        Array.Sort(waits);
        Assert.InRange(waits[waits.Length / 2].TotalMilliseconds, 0, 10);

        static unsafe void Fill(EventFd kick)
        {
            ulong full = ulong.MaxValue - 1;
            Assert.Equal(8, (int)LibC.write(kick.Number, &full, 8));
        }
    }

    [Fact]
    public void A_queue_is_reset_alone_and_starts_again()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        rig.SetCommon(22, 1, 2);
        rig.SetCommon(58, 1, 2);
        Assert.Equal(1UL, rig.Common(58, 2));
        Assert.Equal(2, rig.Doorbells.Count);
        rig.SetCommon(58, 1, 2);
        rig.SetCommon(28, 1, 2); // too early
        Assert.Equal(["start", "stop 1"], rig.Function.Orders);
        rig.Function.Complete();
        Assert.Equal(0UL, rig.Common(58, 2));
        Assert.Equal(0UL, rig.Common(28, 2));
        Assert.Equal(0xFFFFUL, rig.Common(26, 2));
        rig.SetUpQueue(1, 2);
        Assert.Equal(["start", "stop 1", "start 1"], rig.Function.Orders);
        Assert.Equal(3, rig.Doorbells.Count);
    }

    [Fact]
    public void A_queue_is_not_reset_where_that_was_not_negotiated()
    {
        using var rig = new VirtioPciRig();
        rig.Start(features: VirtioFeatures.Version1);
        rig.SetCommon(22, 1, 2);
        rig.SetCommon(58, 1, 2);
        Assert.Equal(0UL, rig.Common(58, 2));
        Assert.Equal(["start"], rig.Function.Orders);
    }

    [Fact]
    public void A_queue_that_stops_after_the_device_was_reset_changes_nothing()
    {
        using var rig = new VirtioPciRig(new FakeFunction(queues: 1));
        rig.Start();
        rig.SetCommon(58, 1, 2);
        rig.Status = 0;
        rig.Function.Complete(); // the queue
        Assert.NotEqual(0, rig.Status);
        rig.Function.Complete(); // the device
        Assert.Equal(0, rig.Status);
        rig.Start();
        Assert.Equal(1UL, rig.Common(28, 2));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(2)]
    [InlineData(1)]
    public void The_window_in_configuration_space_reaches_the_bar(int lengthBytes)
    {
        using var rig = new VirtioPciRig();
        rig.Decode(rig.Slot, false); // for those who cannot map it
        int window = rig.Capability(Vendor, 5);
        rig.SetEcam(rig.Slot, window + 4, 0, 1);
        rig.SetEcam(rig.Slot, window + 8, 0x2000 + (uint)lengthBytes);
        rig.SetEcam(rig.Slot, window + 12, (uint)lengthBytes);
        ulong expected = 0;
        for (int i = 0; i < lengthBytes; i++)
        {
            expected |= (ulong)rig.Function.Configuration[lengthBytes + i] << (8 * i);
        }

        Assert.Equal(expected, rig.Ecam(rig.Slot, window + 16, lengthBytes));
        rig.SetEcam(rig.Slot, window + 16, 0xA5A5_A5A5, lengthBytes);
        Assert.Equal(0xA5, rig.Function.Configuration[lengthBytes]);
        Assert.Equal((2 * lengthBytes) + 1, rig.Function.Configuration[2 * lengthBytes]);
    }

    [Fact]
    public void H5_a_window_past_the_bar_or_of_a_wrong_shape_shows_nothing()
    {
        using var rig = new VirtioPciRig();
        int window = rig.Capability(Vendor, 5);
        foreach ((uint bar, uint offset, uint length) in new[] { (0u, 0x8000u, 4u), (0u, 0xFFFF_FFFC, 4u), (0u, 2u, 4u), (0u, 0u, 3u), (0u, 0u, 0u), (1u, 0u, 4u), (0u, 20u, uint.MaxValue) })
        {
            rig.SetEcam(rig.Slot, window + 4, bar, 1);
            rig.SetEcam(rig.Slot, window + 8, offset);
            rig.SetEcam(rig.Slot, window + 12, length);
            rig.SetEcam(rig.Slot, window + 16, 0x0F);
            Assert.Equal(0x0FUL, rig.Ecam(rig.Slot, window + 16));
        }

        Assert.Equal(0, rig.Status);
    }

    [Fact]
    public void Removal_takes_all_that_belongs_to_the_device_and_waits_for_it_to_stop()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        PciFunction? removed = null;
        rig.Bus.Removed += (_, function) => removed = function;
        EventFd call = rig.Function.Calls[1]!;
        Assert.True(rig.Bus.Remove(rig.Slot));
        Assert.Equal(0, rig.Doorbells.Count);
        Assert.Equal(0, rig.Interrupts.AttachedCount);
        Assert.Equal(0, rig.Interrupts.GsisTaken);
        Assert.Equal(0, rig.Windows.Count);
        Assert.Null(removed);
        Assert.False(call.IsClosed); // the device may still signal it
        rig.Pci.Write(20, [0]); // a late access of another vCPU
        rig.Pci.Write(0x3000, [0, 0]);
        rig.Function.Complete();
        Assert.Same(rig.Pci, removed);
        Assert.True(call.IsClosed);
        Assert.False(rig.Function.IsListenedTo);
        byte[] data = new byte[4];
        rig.Pci.Read(0, data);
        Assert.Equal([0xFF, 0xFF, 0xFF, 0xFF], data);
    }

    [Fact]
    public void A_device_that_a_driver_never_started_leaves_at_once()
    {
        using var rig = new VirtioPciRig();
        int removed = 0;
        rig.Bus.Removed += (_, _) => removed++;
        Assert.True(rig.Bus.Remove(rig.Slot));
        Assert.Equal(1, removed);
        Assert.Empty(rig.Function.Orders);
    }

    [Fact]
    public void A_reboot_stops_the_device_and_a_new_driver_finds_it_fresh()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        bool done = false;
        rig.Bus.Reset(() => done = true);
        Assert.False(done);
        Assert.Equal(0, rig.Interrupts.GsisTaken);
        rig.Function.Complete();
        Assert.True(done);
        Assert.Equal(0UL, rig.Ecam(rig.Slot, rig.Capability(PciConfig.MsiXCapability) + 2, 2) & MsiX.ControlEnable);
        rig.SetEcam(rig.Slot, PciConfig.Command, PciConfig.CommandMemory, 2);
        Assert.Equal(0, rig.Status);
        rig.Start();
        rig.Function.Call(1);
        Assert.Equal(1, rig.Interrupts.Raised(VirtioPciRig.Message(2)));
    }
}
