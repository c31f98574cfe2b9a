using System.Buffers.Binary;
using Paravane.VhostServer.Protocol;

namespace Paravane.Hypervisor.Virtio;

/// <content>The registers in the BAR (virtio 1.2 §4.1.4.3 to §4.1.4.6). Reads of any size; writes of the width of a register, or half of a 64-bit one.</content>
internal sealed partial class VirtioPci
{
    // struct virtio_pci_common_cfg.
    private const int DeviceFeatureSelect = 0, DeviceFeature = 4, DriverFeatureSelect = 8, DriverFeature = 12, ConfigVector = 16, QueueCount = 18,
        DeviceStatus = 20, ConfigGeneration = 21, QueueSelect = 22, QueueSize = 24, QueueVector = 26, QueueEnable = 28, QueueNotifyOffset = 30,
        QueueAddresses = 32, QueueAddressesEnd = 56, QueueReset = 58;

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> data)
    {
        if (offset is >= VirtioPciLayout.Device and < VirtioPciLayout.Notify)
        {
            ReadDevice((uint)offset - VirtioPciLayout.Device, data);
            return;
        }

        lock (Gate)
        {
            if (!IsAttached)
            {
                data.Fill(0xFF);
            }
            else if (offset < VirtioPciLayout.CommonBytes)
            {
                ReadCommon((int)offset, data);
            }
            else if (offset == VirtioPciLayout.Isr)
            {
                data.Clear();
                data[0] = _isr;
                _isr = 0;
                UpdateWire();
            }
            else if (offset >= _layout.Pending)
            {
                _msiX.ReadPending(offset - _layout.Pending, data);
            }
            else if (offset >= _layout.Table)
            {
                _msiX.ReadTable(offset - _layout.Table, data);
            }
            else
            {
                data.Fill(0xFF);
            }
        }
    }

    /// <inheritdoc/>
    public void Write(ulong offset, ReadOnlySpan<byte> data)
    {
        if (offset is >= VirtioPciLayout.Device and < VirtioPciLayout.Notify)
        {
            WriteDevice((uint)offset - VirtioPciLayout.Device, data);
            return;
        }

        lock (Gate)
        {
            if (!IsAttached)
            {
                return;
            }

            if (offset < VirtioPciLayout.CommonBytes)
            {
                WriteCommon((int)offset, data);
            }
            else if (offset >= VirtioPciLayout.Notify && offset < _layout.Table)
            {
                // Whatever is written: the address says which queue. Kicks come here only where the kernel holds no doorbell.
                _registers.Notify((offset - VirtioPciLayout.Notify) / VirtioPciLayout.NotifyMultiplier);
            }
            else if (offset >= _layout.Table && offset < _layout.Pending)
            {
                _msiX.WriteTable(offset - _layout.Table, data);
            }
        }
    }

    // Device configuration is read and written without the lock: the function guards its own.
    private void ReadDevice(uint offset, Span<byte> data)
    {
        if (IsAttached && offset < _layout.DeviceBytes)
        {
            _function.ReadConfig(offset, data);
        }
        else
        {
            data.Fill(0xFF);
        }
    }

    private void WriteDevice(uint offset, ReadOnlySpan<byte> data)
    {
        if (IsAttached && offset < _layout.DeviceBytes)
        {
            _function.WriteConfig(offset, data);
        }
    }

    private void ReadCommon(int offset, Span<byte> data)
    {
        Span<byte> image = stackalloc byte[(int)VirtioPciLayout.CommonBytes];
        image.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(image[DeviceFeatureSelect..], _registers.DeviceFeatureSelect);
        BinaryPrimitives.WriteUInt32LittleEndian(image[DeviceFeature..], _registers.DeviceFeatures);
        BinaryPrimitives.WriteUInt32LittleEndian(image[DriverFeatureSelect..], _registers.DriverFeatureSelect);
        BinaryPrimitives.WriteUInt32LittleEndian(image[DriverFeature..], _registers.DriverFeatures);
        BinaryPrimitives.WriteUInt16LittleEndian(image[ConfigVector..], _configVector);
        BinaryPrimitives.WriteUInt16LittleEndian(image[QueueCount..], (ushort)_registers.QueueCount);
        image[DeviceStatus] = (byte)_registers.Status;
        image[ConfigGeneration] = _function.ConfigGeneration;
        uint select = _registers.QueueSelect;
        bool exists = select < (uint)_queueVectors.Length;
        QueueRegisters queue = _registers.Selected;
        BinaryPrimitives.WriteUInt16LittleEndian(image[QueueSelect..], (ushort)select);
        BinaryPrimitives.WriteUInt16LittleEndian(image[QueueSize..], queue.Size);
        BinaryPrimitives.WriteUInt16LittleEndian(image[QueueVector..], exists ? _queueVectors[select] : NoVector);
        BinaryPrimitives.WriteUInt16LittleEndian(image[QueueEnable..], queue.IsEnabled ? (ushort)1 : (ushort)0);
        BinaryPrimitives.WriteUInt16LittleEndian(image[QueueNotifyOffset..], exists ? (ushort)select : (ushort)0);
        for (int area = 0; area < 3; area++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(image[(QueueAddresses + (8 * area))..], queue.Areas[area]);
        }

        BinaryPrimitives.WriteUInt16LittleEndian(image[QueueReset..], queue.IsStopping ? (ushort)1 : (ushort)0);
        int lengthBytes = Math.Min(data.Length, image.Length - offset);
        image.Slice(offset, lengthBytes).CopyTo(data);
        data[lengthBytes..].Fill(0xFF);
    }

    private void WriteCommon(int offset, ReadOnlySpan<byte> data)
    {
        switch (offset, data.Length)
        {
            case (DeviceFeatureSelect, 4):
                _registers.DeviceFeatureSelect = BinaryPrimitives.ReadUInt32LittleEndian(data);
                break;
            case (DriverFeatureSelect, 4):
                _registers.DriverFeatureSelect = BinaryPrimitives.ReadUInt32LittleEndian(data);
                break;
            case (DriverFeature, 4):
                _registers.DriverFeatures = BinaryPrimitives.ReadUInt32LittleEndian(data);
                break;
            case (ConfigVector, 2):
                _configVector = ExistingVector(BinaryPrimitives.ReadUInt16LittleEndian(data));
                break;
            case (DeviceStatus, 1):
                _registers.WriteStatus((VirtioStatus)data[0]);
                break;
            case (QueueSelect, 2):
                _registers.QueueSelect = BinaryPrimitives.ReadUInt16LittleEndian(data);
                break;
            case (QueueSize, 2):
                _registers.WriteQueueSize(BinaryPrimitives.ReadUInt16LittleEndian(data));
                break;
            case (QueueVector, 2):
                WriteQueueVector(BinaryPrimitives.ReadUInt16LittleEndian(data));
                break;
            case (QueueEnable, 2) when BinaryPrimitives.ReadUInt16LittleEndian(data) == 1:
                _registers.EnableQueue();
                break;
            case (QueueReset, 2) when BinaryPrimitives.ReadUInt16LittleEndian(data) == 1:
                _registers.ResetQueue();
                break;
            case ( >= QueueAddresses and < QueueAddressesEnd, 4 or 8) when offset % data.Length == 0:
                for (int at = 0; at < data.Length; at += sizeof(uint))
                {
                    int word = (offset + at - QueueAddresses) / sizeof(uint);
                    _registers.WriteQueueAddress((QueueArea)(word / 2), high: word % 2 != 0, BinaryPrimitives.ReadUInt32LittleEndian(data[at..]));
                }

                break;
            default:
                break; // read-only, unknown, or not as wide as the register
        }
    }

    /// <summary>The driver may choose another vector at any time, also while the queue runs.</summary>
    private void WriteQueueVector(ushort vector)
    {
        uint select = _registers.QueueSelect;
        if (select >= (uint)_queueVectors.Length)
        {
            return;
        }

        vector = ExistingVector(vector);
        if (vector != _queueVectors[select])
        {
            _queueVectors[select] = vector;
            if (_msiX.IsEnabled)
            {
                _registers.ChangeCall((int)select);
            }
        }
    }

    /// <summary>What the register shows of a wish: no vector where there is none, or nothing to back it with (virtio 1.2 §4.1.5.1.2).</summary>
    private ushort ExistingVector(ushort vector) => vector < _msiX.Count && _msiX.TryGetSource(vector, out _) ? vector : NoVector;
}
