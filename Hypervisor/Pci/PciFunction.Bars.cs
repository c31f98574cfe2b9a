namespace Paravane.Hypervisor.Pci;

/// <content>
/// How a BAR moves. While memory decode is off its register takes anything, and counts when decode is turned on. While decode is on, a new
/// address counts once all of its registers were written. All ones are a question for the size and never an address. An address outside of the windows or
/// upon another BAR is refused: the register shows the old one again.
/// </content>
internal abstract partial class PciFunction
{
    private void ApplyBars(int offset, int lengthBytes)
    {
        foreach (PciBar bar in _bars)
        {
            if (!bar.IsMapped || !Touches(offset, lengthBytes, bar.ConfigOffset, bar.ConfigLengthBytes))
            {
                continue;
            }

            bar.WrittenHalves |= Touches(offset, lengthBytes, bar.ConfigOffset, sizeof(uint)) ? 1 : 0;
            bar.WrittenHalves |= bar.Is64 && Touches(offset, lengthBytes, bar.ConfigOffset + 4, sizeof(uint)) ? 2 : 0;
            ulong shown = ShownAddress(bar);
            if (shown == bar.Address || shown == AllOnes(bar))
            {
                bar.WrittenHalves = 0;
            }
            else if (bar.WrittenHalves == bar.AllHalves)
            {
                Settle(bar);
            }
        }
    }

    /// <summary>Moves <paramref name="bar"/> to the address in its register, or the register back to where the BAR is.</summary>
    private void Settle(PciBar bar)
    {
        bar.WrittenHalves = 0;
        ulong wanted = ShownAddress(bar);
        if (wanted == bar.Address)
        {
            return;
        }

        if (_place!.Space.TryMove(bar.Address, wanted, bar.SizeBytes, bar.Is64))
        {
            bool wasMapped = bar.IsMapped;
            Unmap(bar);
            bar.Address = wanted;
            if (wasMapped)
            {
                Map(bar);
            }
        }
        else
        {
            ShowAddress(bar);
        }
    }

    private void Map(PciBar bar)
    {
        // Nothing else lies in the windows, and within them claims do not overlap: only a fault of ours could refuse this. The guest would read all ones.
        bar.IsMapped = _place!.Windows.TryAdd(bar.Address, bar.SizeBytes, bar.Target, Name);
        if (bar.IsMapped)
        {
            OnMapped(bar);
        }
    }

    private void Unmap(PciBar bar)
    {
        bar.WrittenHalves = 0;
        if (bar.IsMapped)
        {
            _place!.Windows.Remove(bar.Address);
            bar.IsMapped = false;
            OnUnmapped(bar);
        }
    }

    private ulong ShownAddress(PciBar bar)
    {
        ulong low = Config32(bar.ConfigOffset) & ~0xFu;
        return bar.Is64 ? low | ((ulong)Config32(bar.ConfigOffset + 4) << 32) : low;
    }

    private void ShowAddress(PciBar bar)
    {
        SetConfig32(bar.ConfigOffset, (uint)bar.Address | (bar.Is64 ? PciConfig.Bar64 : 0));
        if (bar.Is64)
        {
            SetConfig32(bar.ConfigOffset + 4, (uint)(bar.Address >> 32));
        }
    }

    private static ulong AllOnes(PciBar bar)
    {
        ulong mask = ~(bar.SizeBytes - 1);
        return bar.Is64 ? mask : (uint)mask;
    }
}
