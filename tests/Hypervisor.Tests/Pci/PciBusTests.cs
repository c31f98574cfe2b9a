using Paravane.Hypervisor.Pci;

namespace Paravane.Hypervisor.Tests.Pci;

public sealed class PciBusTests
{
    [Fact]
    public void The_first_slot_is_a_host_bridge()
    {
        using var rig = new PciRig();
        Assert.Equal(0x060000UL, rig.Ecam(0, PciConfig.Revision) >> 8);
        Assert.NotEqual(0xFFFFUL, rig.Ecam(0, PciConfig.Vendor, 2));
        Assert.Equal(0UL, rig.Ecam(0, 0x100)); // no extended capability
    }

    [Fact]
    public void Absent_functions_read_as_all_ones_and_ignore_writes()
    {
        using var rig = new PciRig();
        rig.SetEcam(1, PciConfig.Command, 0xFFFF);
        Assert.Equal(0xFFFF_FFFFUL, rig.Ecam(1, 0));
        Assert.Equal(0xFFFF_FFFFUL, rig.Ecam(31, 0));
        Assert.Equal(0xFFFF_FFFFUL, rig.Ecam(0, 0, function: 1));
        Assert.Equal(ulong.MaxValue, rig.Ecam(0, 0xFFC, 8)); // past the function
    }

    [Fact]
    public void Ports_show_the_same_registers_in_every_width()
    {
        using var rig = new PciRig();
        Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int slot));
        rig.SetPort(0xCF8, 0x8000_0000 | ((uint)slot << 11) | 0x08, 4);
        Assert.Equal(0x0A0B0C03UL, rig.Port(0xCFC, 4));
        Assert.Equal(0x0C03UL, rig.Port(0xCFC, 2));
        Assert.Equal(0x0A0BUL, rig.Port(0xCFE, 2));
        Assert.Equal(0x03UL, rig.Port(0xCFC, 1));
        Assert.Equal(0x0AUL, rig.Port(0xCFF, 1));
        rig.SetPort(0xCF8, 0x8000_0000 | ((uint)slot << 11) | 0x3C, 4);
        rig.SetPort(0xCFC, 0x42, 1);
        Assert.Equal(0x42UL, rig.Ecam(slot, PciConfig.InterruptLine, 1));
    }

    [Fact]
    public void The_latch_takes_only_double_words()
    {
        using var rig = new PciRig();
        rig.SetPort(0xCF8, 0x8000_0000, 4);
        rig.SetPort(0xCF8, 0x1234, 2);
        rig.SetPort(0xCF9, 0x06, 1);
        Assert.Equal(0x8000_0000UL, rig.Port(0xCF8, 4));
        Assert.Equal(0xFFUL, rig.Port(0xCF9, 1));
    }

    [Theory]
    [InlineData(0x0000_0000u)] // not enabled
    [InlineData(0x8001_0000u)] // another bus
    [InlineData(0x8000_0100u)] // another function
    [InlineData(0x8000_0800u)] // an empty slot
    public void The_data_port_shows_nothing_behind_other_addresses(uint latch)
    {
        using var rig = new PciRig();
        rig.SetPort(0xCF8, latch, 4);
        Assert.Equal(0xFFFF_FFFFUL, rig.Port(0xCFC, 4));
        rig.SetPort(0xCFC, 0, 4);
    }

    [Fact]
    public void Only_writable_bits_change()
    {
        using var rig = new PciRig();
        Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int slot));
        for (int register = 0; register < PciConfig.SizeBytes; register += 4)
        {
            rig.SetEcam(slot, register, 0xFFFF_FFFF);
        }

        Assert.Equal(0x5678_1234UL, rig.Ecam(slot, PciConfig.Vendor));
        Assert.Equal(0x0000_0406UL, rig.Ecam(slot, PciConfig.Command));
        Assert.Equal(0x0A0B0C03UL, rig.Ecam(slot, PciConfig.Revision));
        Assert.Equal(0UL, rig.Ecam(slot, 0x0C));
        Assert.Equal(0UL, rig.Ecam(slot, 0x30)); // no ROM
        Assert.Equal(0x01FFUL, rig.Ecam(slot, PciConfig.InterruptLine));
    }

    [Fact]
    public void A_function_leaves_without_a_trace_and_its_slot_is_used_again()
    {
        using var rig = new PciRig();
        var first = new PlainFunction();
        Assert.True(rig.Bus.TryAdd(first, out int slot));
        ulong bar = rig.Bar64(slot);
        rig.Decode(slot, true);
        first.Interrupt(true);
        Assert.True(rig.Interrupts.Line(IntxLines.GsiOf(slot)));
        (int Slot, PciFunction Function)? removed = null;
        rig.Bus.Removed += (s, f) => removed = (s, f);
        Assert.True(rig.Bus.Remove(slot));
        Assert.Equal((slot, first), removed);
        Assert.Equal(0, rig.Windows.Count);
        Assert.False(rig.Interrupts.Line(IntxLines.GsiOf(slot)));
        Assert.Equal(0xFFFF_FFFFUL, rig.Ecam(slot, 0));
        first.ReadConfig(0, new byte[4]); // a late access of another vCPU
        first.WriteConfig(PciConfig.Command, [2, 0]);
        Assert.Equal(0, rig.Windows.Count);

        Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int again));
        Assert.Equal(slot, again);
        Assert.Equal(bar, rig.Bar64(again));
    }

    [Fact]
    public void The_slot_of_a_function_that_was_taken_away_is_used_again_when_the_guest_has_let_it_go_or_starts_anew()
    {
        using var rig = new PciRig();
        Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int first));
        Assert.True(rig.Bus.Force(first));
        Assert.Equal(0xFFFF_FFFFUL, rig.Ecam(first, 0));
        Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int second));
        Assert.NotEqual(first, second);
        Assert.False(rig.Bus.Force(first));
        Assert.False(rig.Bus.Remove(first)); // the guest lets go what is not there any more
        Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int third));
        Assert.Equal(first, third);

        Assert.True(rig.Bus.Force(second));
        rig.Bus.Reset(() => { });
        Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int fourth));
        Assert.Equal(second, fourth);
        Assert.False(rig.Bus.Force(9)); // an empty slot is held for nobody
        for (int slot = 3; slot < PciBus.SlotCount; slot++)
        {
            Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int next));
            Assert.Equal(slot, next);
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_reset_waits_for_a_function_that_was_removed_and_whose_device_has_not_stopped(bool force)
    {
        using var rig = new PciRig();
        var leaving = new PlainFunction { IsBusy = true };
        var staying = new PlainFunction { IsBusy = true };
        Assert.True(rig.Bus.TryAdd(leaving, out int slot));
        Assert.True(rig.Bus.TryAdd(staying, out _));
        var order = new List<string>();
        rig.Bus.Removed += (_, _) => order.Add("removed");
        Assert.True(force ? rig.Bus.Force(slot) : rig.Bus.Remove(slot));
        rig.Bus.Reset(() => order.Add("reset"));
        staying.Stop();
        Assert.Empty(order);
        leaving.Stop();
        Assert.Equal(["removed", "reset"], order);

        // Gone for good: the next one does not wait for it.
        rig.Bus.Reset(() => order.Add("again"));
        staying.Stop();
        Assert.Equal("again", order[^1]);
    }

    [Fact]
    public void The_host_bridge_and_empty_slots_cannot_be_removed()
    {
        using var rig = new PciRig();
        Assert.False(rig.Bus.Remove(0));
        Assert.False(rig.Bus.Remove(5));
        Assert.False(rig.Bus.Remove(-1));
        Assert.False(rig.Bus.Remove(32));
    }

    [Fact]
    public void A_full_bus_refuses_the_next_function()
    {
        using var rig = new PciRig();
        for (int i = 1; i < PciBus.SlotCount; i++)
        {
            Assert.True(rig.Bus.TryAdd(new PlainFunction(), out int slot));
            Assert.Equal(i, slot);
        }

        Assert.False(rig.Bus.TryAdd(new PlainFunction(), out _));
    }

    [Fact]
    public void Slots_that_share_a_wire_keep_it_high_until_both_are_quiet()
    {
        using var rig = new PciRig();
        var functions = new PlainFunction[PciBus.SlotCount];
        for (int i = 1; i < PciBus.SlotCount; i++)
        {
            Assert.True(rig.Bus.TryAdd(functions[i] = new PlainFunction(), out _));
        }

        Assert.Equal(IntxLines.GsiOf(1), IntxLines.GsiOf(9));
        functions[1].Interrupt(true);
        functions[9].Interrupt(true);
        functions[1].Interrupt(false);
        Assert.True(rig.Interrupts.Line(IntxLines.GsiOf(1)));
        functions[9].Interrupt(false);
        Assert.False(rig.Interrupts.Line(IntxLines.GsiOf(1)));
        Assert.Equal(2, rig.Interrupts.LineChanges);
    }

    [Fact]
    public void The_command_register_keeps_the_wire_quiet_and_status_still_tells()
    {
        using var rig = new PciRig();
        var function = new PlainFunction();
        Assert.True(rig.Bus.TryAdd(function, out int slot));
        rig.SetEcam(slot, PciConfig.Command, PciConfig.CommandIntxDisable, 2);
        function.Interrupt(true);
        Assert.False(rig.Interrupts.Line(IntxLines.GsiOf(slot)));
        Assert.NotEqual(0UL, rig.Ecam(slot, PciConfig.Status, 2) & PciConfig.StatusInterrupt);
        rig.SetEcam(slot, PciConfig.Command, 0, 2);
        Assert.True(rig.Interrupts.Line(IntxLines.GsiOf(slot)));
        function.Interrupt(false);
    }
}
