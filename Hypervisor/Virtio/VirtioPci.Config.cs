using System.Buffers.Binary;
using Paravane.Hypervisor.Pci;

namespace Paravane.Hypervisor.Virtio;

/// <content>Capabilities in configuration space, MSI-X control, and the window of configuration space into the BAR.</content>
internal sealed partial class VirtioPci
{
    // Offsets in a virtio capability (struct virtio_pci_cap) from its start.
    private const int WindowBar = 4, WindowOffset = 8, WindowLength = 12, WindowData = 16;

    private const byte VirtioCapabilityBytes = 16;

    /// <inheritdoc/>
    protected override void OnConfigRead(int offset, int lengthBytes)
    {
        if (Touches(offset, lengthBytes, _windowCapability + WindowData, sizeof(uint)) && TryFindWindow(out uint at, out int windowBytes))
        {
            Read(at, ConfigBytes(_windowCapability + WindowData, windowBytes));
        }
    }

    /// <inheritdoc/>
    protected override void OnConfigWritten(int offset, int lengthBytes)
    {
        if (Touches(offset, lengthBytes, _msiXCapability + 2, sizeof(ushort)))
        {
            bool wasEnabled = _msiX.IsEnabled;
            _msiX.SetControl(Config16(_msiXCapability + 2));
            if (_msiX.IsEnabled != wasEnabled)
            {
                OnMsiXSwitched();
            }
        }

        if (Touches(offset, lengthBytes, _windowCapability + WindowData, sizeof(uint)) && TryFindWindow(out uint at, out int windowBytes))
        {
            Write(at, ConfigBytes(_windowCapability + WindowData, windowBytes));
        }
    }

    /// <summary>Where the window looks, if that is an aligned access of 1, 2 or 4 bytes inside the BAR.</summary>
    private bool TryFindWindow(out uint at, out int lengthBytes)
    {
        at = Config32(_windowCapability + WindowOffset);
        uint length = Config32(_windowCapability + WindowLength);
        lengthBytes = (int)length;
        return Config[_windowCapability + WindowBar] == 0 && length is 1 or 2 or 4 && at % length == 0 && at < _layout.BarBytes;
    }

    private int AddMsiXCapability()
    {
        Span<byte> body = stackalloc byte[10];
        BinaryPrimitives.WriteUInt16LittleEndian(body, (ushort)(_layout.Vectors - 1));
        BinaryPrimitives.WriteUInt32LittleEndian(body[2..], _layout.Table); // bits 2:0: BAR 0
        BinaryPrimitives.WriteUInt32LittleEndian(body[6..], _layout.Pending);
        Span<byte> writable = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(writable, MsiX.ControlEnable | MsiX.ControlFunctionMask);
        return AddCapability(PciConfig.MsiXCapability, body, writable);
    }

    private void AddVirtioCapability(VirtioCapability type, uint offset, uint lengthBytes, uint? multiplier = null)
    {
        Span<byte> body = stackalloc byte[VirtioCapabilityBytes - 2 + sizeof(uint)];
        body.Clear();
        body[0] = (byte)(VirtioCapabilityBytes + (multiplier is null ? 0 : sizeof(uint)));
        body[1] = (byte)type;
        BinaryPrimitives.WriteUInt32LittleEndian(body[6..], offset);
        BinaryPrimitives.WriteUInt32LittleEndian(body[10..], lengthBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(body[14..], multiplier ?? 0);
        AddCapability(PciConfig.VendorCapability, body[..(body[0] - 2)]);
    }

    private int AddWindowCapability()
    {
        Span<byte> body = stackalloc byte[WindowData + sizeof(uint) - 2];
        body.Clear();
        body[0] = WindowData + sizeof(uint);
        body[1] = (byte)VirtioCapability.Window;
        Span<byte> writable = stackalloc byte[body.Length];
        writable.Clear();
        writable[WindowBar - 2] = 0xFF;
        writable[(WindowOffset - 2)..].Fill(0xFF);
        return AddCapability(PciConfig.VendorCapability, body, writable);
    }
}
