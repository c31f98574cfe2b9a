using Paravane.Hypervisor.Memory;

namespace Paravane.Hypervisor.Pci;

/// <summary>Which parts of the two PCI memory windows BARs hold. A BAR holds its place also while it is not decoded.</summary>
/// <remarks>Any thread. At most a few hundred claims, so a list that is searched from the front will do.</remarks>
internal sealed class BarSpace
{
    /// <summary>The only window of 32-bit BARs; a guest may move 64-bit ones here, too.</summary>
    public static readonly PciWindow Low = new(AddressMap.Pci32, AddressMap.Pci32End);

    /// <summary>Where 64-bit BARs are put.</summary>
    public static readonly PciWindow High = new(AddressMap.Pci64, AddressMap.Pci64End);

    private readonly Lock _gate = new();
    private readonly List<Claim> _claims = []; // ascending

    /// <summary>Claims the lowest free place, aligned to its size.</summary>
    /// <param name="window"><see cref="Low"/> or <see cref="High"/>.</param>
    /// <param name="sizeBytes">A power of two.</param>
    /// <param name="address">The place.</param>
    /// <returns>False when there is none.</returns>
    public bool TryAllocate(PciWindow window, ulong sizeBytes, out ulong address)
    {
        lock (_gate)
        {
            address = AlignUp(window.Start, sizeBytes);
            foreach (Claim claim in _claims)
            {
                if (claim.Overlaps(address, sizeBytes))
                {
                    address = AlignUp(claim.Address + claim.SizeBytes, sizeBytes);
                }
            }

            return window.Contains(address, sizeBytes) && TryInsert(new Claim(address, sizeBytes));
        }
    }

    /// <summary>Exchanges the claim on <paramref name="from"/> for one on <paramref name="to"/>, which may overlap it.</summary>
    /// <returns>False, and nothing changed, when that lies outside of the windows or overlaps another claim.</returns>
    public bool TryMove(ulong from, ulong to, ulong sizeBytes, bool is64)
    {
        if (!Low.Contains(to, sizeBytes) && !(is64 && High.Contains(to, sizeBytes)))
        {
            return false;
        }

        lock (_gate)
        {
            var old = new Claim(from, sizeBytes);
            _claims.Remove(old);
            if (TryInsert(new Claim(to, sizeBytes)))
            {
                return true;
            }

            TryInsert(old);
            return false;
        }
    }

    /// <summary>Gives a claim back.</summary>
    public void Free(ulong address, ulong sizeBytes)
    {
        lock (_gate)
        {
            _claims.Remove(new Claim(address, sizeBytes));
        }
    }

    private bool TryInsert(Claim claim)
    {
        int at = 0;
        while (at < _claims.Count && _claims[at].Address < claim.Address)
        {
            at++;
        }

        if ((at > 0 && _claims[at - 1].Overlaps(claim.Address, claim.SizeBytes))
            || (at < _claims.Count && _claims[at].Overlaps(claim.Address, claim.SizeBytes)))
        {
            return false;
        }

        _claims.Insert(at, claim);
        return true;
    }

    private static ulong AlignUp(ulong address, ulong sizeBytes) => (address + sizeBytes - 1) & ~(sizeBytes - 1);

    private readonly record struct Claim(ulong Address, ulong SizeBytes)
    {
        public bool Overlaps(ulong address, ulong sizeBytes) => address < Address + SizeBytes && Address < address + sizeBytes;
    }
}
