using System.Buffers.Binary;
using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Pci;

/// <summary>Configuration space by ports (PCI 3.0 §3.2.2.3.2): an address latch at 0xCF8 and a data window at 0xCFC.</summary>
/// <remarks>The latch is one for all vCPUs, as in hardware: the guest serialises its accesses.</remarks>
internal sealed class PciConfigPorts(PciBus bus) : IBusDevice
{
    /// <summary>First port.</summary>
    public const ushort FirstPort = 0xCF8;

    /// <summary>Number of ports.</summary>
    public const int PortCount = 8;

    private const ulong DataOffset = 4;
    private const uint Enable = 1u << 31;

    private uint _latch;

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> data)
    {
        if (offset == 0 && data.Length == sizeof(uint))
        {
            BinaryPrimitives.WriteUInt32LittleEndian(data, Volatile.Read(ref _latch));
        }
        else if (Find(offset, data.Length, out int register) is { } function)
        {
            function.ReadConfig(register, data);
        }
        else
        {
            data.Fill(0xFF);
        }
    }

    /// <inheritdoc/>
    public void Write(ulong offset, ReadOnlySpan<byte> data)
    {
        if (offset == 0 && data.Length == sizeof(uint))
        {
            Volatile.Write(ref _latch, BinaryPrimitives.ReadUInt32LittleEndian(data));
        }
        else
        {
            Find(offset, data.Length, out int register)?.WriteConfig(register, data);
        }
    }

    private PciFunction? Find(ulong offset, int lengthBytes, out int register)
    {
        register = 0;
        uint latch = Volatile.Read(ref _latch);
        const uint busAndFunction = 0x00FF_0700;
        if (offset < DataOffset || offset + (uint)lengthBytes > PortCount || (latch & Enable) == 0 || (latch & busAndFunction) != 0)
        {
            return null;
        }

        register = (int)(latch & 0xFC) + (int)(offset - DataOffset);
        return bus.At((int)(latch >> 11) & 0x1F);
    }
}
