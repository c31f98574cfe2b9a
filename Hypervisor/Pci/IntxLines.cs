using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Pci;

/// <summary>The wired interrupts of the slots. Several slots share a GSI, which is high while one of them wants it.</summary>
/// <remarks>Any thread.</remarks>
internal sealed class IntxLines(IInterruptController interrupts)
{
    /// <summary>First GSI in use: those below reach the PIC as well, and may belong to virtio-mmio devices.</summary>
    public const int FirstGsi = 16;

    /// <summary>GSIs in use.</summary>
    public const int GsiCount = 8;

    private readonly Lock _gate = new();
    private readonly uint[] _wanting = new uint[GsiCount]; // a bit for each slot

    /// <summary>GSI of INTA of <paramref name="slot"/>, as the firmware's routing table must say.</summary>
    public static int GsiOf(int slot) => FirstGsi + (slot % GsiCount);

    /// <summary>What <paramref name="slot"/> wants.</summary>
    public void Set(int slot, bool asserted)
    {
        int index = slot % GsiCount;
        lock (_gate)
        {
            uint before = _wanting[index];
            uint after = asserted ? before | (1u << slot) : before & ~(1u << slot);
            _wanting[index] = after;
            if ((before == 0) != (after == 0))
            {
                interrupts.SetLine(GsiOf(slot), after != 0);
            }
        }
    }
}
