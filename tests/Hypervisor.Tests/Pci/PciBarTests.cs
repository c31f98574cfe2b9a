using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Pci;

namespace Paravane.Hypervisor.Tests.Pci;

public sealed class PciBarTests : IDisposable
{
    private const ulong Elsewhere = AddressMap.Pci64 + 0x1_0000_0000;

    private readonly PciRig _rig = new();
    private readonly PlainFunction _function = new();
    private readonly int _slot;

    public PciBarTests() => Assert.True(_rig.Bus.TryAdd(_function, out _slot));

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void Bars_have_their_place_from_the_start_and_answer_when_decoded()
    {
        Assert.Equal(AddressMap.Pci64, _rig.Bar64(_slot));
        Assert.Equal(AddressMap.Pci32, _rig.Ecam(_slot, PciConfig.Bar0 + 8));
        Assert.Equal(4UL, _rig.Ecam(_slot, PciConfig.Bar0) & 0xF);
        Assert.False(_rig.Windows.Answers(AddressMap.Pci64));
        _rig.Decode(_slot, true);
        Assert.Equal(0x10008UL, _rig.Memory(AddressMap.Pci64 + 8, 4));
        Assert.Equal(0x20008UL, _rig.Memory(AddressMap.Pci32 + 8, 4));
        _rig.Decode(_slot, false);
        Assert.Equal(0, _rig.Windows.Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void All_ones_read_back_as_the_size_and_nothing_moves(bool decoded)
    {
        _rig.Decode(_slot, decoded);
        ulong before = _rig.Bar64(_slot);
        _rig.SetEcam(_slot, PciConfig.Bar0, 0xFFFF_FFFF);
        Assert.Equal(0xFFFF_8004UL, _rig.Ecam(_slot, PciConfig.Bar0));
        _rig.SetEcam(_slot, PciConfig.Bar0 + 4, 0xFFFF_FFFF);
        Assert.Equal(0xFFFF_FFFFUL, _rig.Ecam(_slot, PciConfig.Bar0 + 4));
        Assert.Equal(0xFFFF_8004UL, _rig.Ecam(_slot, PciConfig.Bar0));
        _rig.SetEcam(_slot, PciConfig.Bar0, before);
        _rig.SetEcam(_slot, PciConfig.Bar0 + 4, before >> 32);
        _rig.SetEcam(_slot, PciConfig.Bar0 + 8, 0xFFFF_FFFF);
        Assert.Equal(0xFFFF_F000UL, _rig.Ecam(_slot, PciConfig.Bar0 + 8));
        _rig.SetEcam(_slot, PciConfig.Bar0 + 8, AddressMap.Pci32);
        Assert.Equal(before, _rig.Bar64(_slot));
        _rig.Decode(_slot, true);
        Assert.Equal(["0 at 0x4000000000", "2 at 0xc8000000"], _function.Moves);
    }

    [Fact]
    public void Registers_without_a_bar_stay_zero()
    {
        _rig.SetEcam(_slot, PciConfig.Bar0 + 12, 0xFFFF_FFFF);
        _rig.SetEcam(_slot, PciConfig.Bar0 + 20, 0xFFFF_FFFF);
        Assert.Equal(0UL, _rig.Ecam(_slot, PciConfig.Bar0 + 12, 8));
        Assert.Equal(0UL, _rig.Ecam(_slot, PciConfig.Bar0 + 20));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_bar_moves_in_two_writes_while_it_is_decoded(bool highFirst)
    {
        _rig.Decode(_slot, true);
        int first = highFirst ? 4 : 0;
        _rig.SetEcam(_slot, PciConfig.Bar0 + first, (Elsewhere + 0x10000) >> (first * 8));
        Assert.True(_rig.Windows.Answers(AddressMap.Pci64));
        _rig.SetEcam(_slot, PciConfig.Bar0 + 4 - first, (Elsewhere + 0x10000) >> (32 - (first * 8)));
        Assert.False(_rig.Windows.Answers(AddressMap.Pci64));
        Assert.Equal(0x10000UL, _rig.Memory(Elsewhere + 0x10000, 4));
        Assert.Equal(Elsewhere + 0x10000, _rig.Bar64(_slot));
    }

    [Fact]
    public void A_bar_that_was_written_while_decode_was_off_moves_when_it_is_turned_on()
    {
        _rig.SetEcam(_slot, PciConfig.Bar0, Elsewhere, 8);
        Assert.Equal(0, _rig.Windows.Count);
        _rig.Decode(_slot, true);
        Assert.True(_rig.Windows.Answers(Elsewhere));
        Assert.False(_rig.Windows.Answers(AddressMap.Pci64));
    }

    [Fact]
    public void A_64_bit_bar_may_go_below_4_GiB()
    {
        _rig.SetEcam(_slot, PciConfig.Bar0, AddressMap.Pci32 + 0x100_0000, 8);
        _rig.Decode(_slot, true);
        Assert.Equal(0x10004UL, _rig.Memory(AddressMap.Pci32 + 0x100_0004, 4));
    }

    [Theory]
    [InlineData(0x0UL)]
    [InlineData(0x1000_0000UL)] // RAM
    [InlineData(AddressMap.Ecam)]
    [InlineData(AddressMap.LocalApic)]
    [InlineData(AddressMap.Pci64 - 0x8000)]
    [InlineData(AddressMap.Pci64End)]
    [InlineData(0xFFFF_FFFF_0000_0000UL)]
    public void H5_an_address_outside_of_the_windows_is_refused(ulong address)
    {
        _rig.SetEcam(_slot, PciConfig.Bar0, address, 8);
        _rig.Decode(_slot, true);
        Assert.Equal(AddressMap.Pci64, _rig.Bar64(_slot));
        _rig.SetEcam(_slot, PciConfig.Bar0 + 4, address >> 32);
        _rig.SetEcam(_slot, PciConfig.Bar0, address);
        Assert.Equal(AddressMap.Pci64, _rig.Bar64(_slot));
        Assert.Equal(0x10000UL, _rig.Memory(AddressMap.Pci64, 4));
        Assert.Equal(2, _rig.Windows.Count);
    }

    [Fact]
    public void H5_a_32_bit_bar_stays_in_its_window()
    {
        _rig.Decode(_slot, true);
        _rig.SetEcam(_slot, PciConfig.Bar0 + 8, 0x1000);
        Assert.Equal(AddressMap.Pci32, _rig.Ecam(_slot, PciConfig.Bar0 + 8));
        _rig.SetEcam(_slot, PciConfig.Bar0 + 8, AddressMap.Pci32End - 0x1000);
        Assert.Equal(0x20000UL, _rig.Memory(AddressMap.Pci32End - 0x1000, 4));
    }

    [Fact]
    public void H5_a_bar_upon_another_is_refused()
    {
        Assert.True(_rig.Bus.TryAdd(new PlainFunction(), out int other));
        Assert.Equal(AddressMap.Pci64 + 0x8000, _rig.Bar64(other));
        _rig.Decode(_slot, true);
        _rig.Decode(other, true);
        _rig.SetEcam(other, PciConfig.Bar0, AddressMap.Pci64, 8);
        Assert.Equal(AddressMap.Pci64 + 0x8000, _rig.Bar64(other));
        _rig.SetEcam(other, PciConfig.Bar0, AddressMap.Pci32, 8); // the other function's 32-bit one
        Assert.Equal(AddressMap.Pci64 + 0x8000, _rig.Bar64(other));
        Assert.Equal(4, _rig.Windows.Count);
    }

    [Fact]
    public void A_reset_brings_bars_home_and_turns_them_off()
    {
        _rig.SetEcam(_slot, PciConfig.Bar0, Elsewhere, 8);
        _rig.Decode(_slot, true);
        bool done = false;
        _rig.Bus.Reset(() => done = true);
        Assert.True(done);
        Assert.Equal(0, _rig.Windows.Count);
        Assert.Equal(0UL, _rig.Ecam(_slot, PciConfig.Command, 2));
        Assert.Equal(AddressMap.Pci64, _rig.Bar64(_slot));
        _rig.Decode(_slot, true);
        Assert.True(_rig.Windows.Answers(AddressMap.Pci64));
    }
}
