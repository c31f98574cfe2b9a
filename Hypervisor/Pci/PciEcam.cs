using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Pci;

/// <summary>Memory-mapped configuration space (PCI Express 4.0 §7.2.2): bus in bits 27:20 of the offset, device 19:15, function 14:12, register 11:0.</summary>
internal sealed class PciEcam(PciBus bus) : IBusDevice
{
    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> data)
    {
        if (Find(offset, data.Length, out int register) is { } function)
        {
            function.ReadConfig(register, data);
        }
        else
        {
            data.Fill(0xFF);
        }
    }

    /// <inheritdoc/>
    public void Write(ulong offset, ReadOnlySpan<byte> data) => Find(offset, data.Length, out int register)?.WriteConfig(register, data);

    private PciFunction? Find(ulong offset, int lengthBytes, out int register)
    {
        register = (int)(offset & 0xFFF);
        ulong deviceAndFunction = offset >> 12;
        bool isOurs = deviceAndFunction < PciBus.SlotCount * 8 && deviceAndFunction % 8 == 0 && lengthBytes <= PciConfig.ExtendedSizeBytes - register;
        return isOurs ? bus.At((int)(deviceAndFunction / 8)) : null;
    }
}
