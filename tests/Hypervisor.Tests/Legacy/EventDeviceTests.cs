using Paravane.Hypervisor.Legacy;
using Paravane.Hypervisor.Memory;

namespace Paravane.Hypervisor.Tests.Legacy;

public sealed class EventDeviceTests
{
    private readonly TestInterrupts _interrupts = new();
    private readonly List<int> _ejected = [];
    private readonly EventDevice _device;

    public EventDeviceTests() => _device = new EventDevice(_interrupts, 0x8000_000E, _ejected.Add);

    private bool Level => _interrupts.Level(AddressMap.EventGsi);

    [Fact]
    public void The_line_is_up_until_the_events_are_read_and_reading_clears()
    {
        _device.PressPowerButton();
        _device.PlugPci(3);
        Assert.True(Level);
        Assert.Equal(1, _interrupts.Edges(AddressMap.EventGsi));
        Assert.Equal((uint)(EventBits.PowerButton | EventBits.Pci), _device.In32(EventDevice.EventsOffset));
        Assert.False(Level);
        Assert.Equal(0u, _device.In32(EventDevice.EventsOffset));
        Assert.Equal((8u, 0u), (_device.In32(EventDevice.PciUpOffset), _device.In32(EventDevice.PciDownOffset)));
        Assert.Equal(0u, _device.In32(EventDevice.PciUpOffset));
        _device.RequestEject(31);
        Assert.True(Level);
        Assert.Equal(4u, _device.In32(EventDevice.EventsOffset));
        Assert.Equal(0x8000_0000u, _device.In32(EventDevice.PciDownOffset));
    }

    [Fact]
    public void A_guest_ejects_what_can_be_plugged_and_nothing_else()
    {
        _device.Out32(EventDevice.EjectOffset, 0xFFFF_FFFF);
        Assert.Equal([1, 2, 3, 31], _ejected);
        Assert.Equal(0u, _device.In32(EventDevice.EjectOffset));
        Assert.Throws<ArgumentOutOfRangeException>(() => _device.PlugPci(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => _device.RequestEject(32));
        Assert.False(Level);
    }

    [Fact]
    public void What_the_guest_was_not_told_of_a_device_that_has_gone_is_not_said_of_the_next_one()
    {
        _device.PlugPci(3);
        _device.RequestEject(3);
        _device.RequestEject(2);
        _device.Forget(3);
        Assert.Equal((0u, 4u), (_device.In32(EventDevice.PciUpOffset), _device.In32(EventDevice.PciDownOffset)));
        _device.RequestEject(1);
        _device.Out32(EventDevice.EjectOffset, 1u << 1); // asked or not
        Assert.Equal(0u, _device.In32(EventDevice.PciDownOffset));
        Assert.Equal([1], _ejected);
    }

    [Fact]
    public void Plugged_memory_shows_in_its_slot_and_survives_a_restart()
    {
        const ulong Slot5 = EventDevice.MemorySlotsOffset + (5 * EventDevice.MemorySlotBytes);
        Assert.Equal(0u, _device.In32(Slot5 + 16));
        _device.PlugMemory(5, 0x1_4000_0000, 128 << 20);
        Assert.Equal(2u, _device.In32(EventDevice.EventsOffset));
        Assert.Equal(1u << 5, _device.In32(EventDevice.MemoryUpOffset));
        _device.PressPowerButton();
        _device.Reset();
        Assert.False(Level);
        Assert.Equal(0u, _device.In32(EventDevice.EventsOffset));
        Assert.Equal((0x1_4000_0000UL, 128UL << 20, 1u), (_device.In64(Slot5), _device.In64(Slot5 + 8), _device.In32(Slot5 + 16)));
        _device.Write(Slot5, new byte[8]);
        Assert.Equal(0x1_4000_0000UL, _device.In64(Slot5));
        Assert.Throws<ArgumentOutOfRangeException>(() => _device.PlugMemory(5, 0, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => _device.PlugMemory(EventDevice.MaxMemorySlots, 0, 1));
    }

    [Fact]
    public void Elsewhere_reads_are_all_ones() => Assert.Equal(ulong.MaxValue, _device.In64(0x800));

    [Fact]
    public void H5_any_access_to_the_event_page_is_legal() => BusAccess.Fuzz(_device, EventDevice.LengthBytes, () =>
    {
        _device.PlugPci(1);
        _device.PressPowerButton();
    });
}
