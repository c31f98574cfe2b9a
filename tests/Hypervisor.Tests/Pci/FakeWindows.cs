using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Tests.Pci;

/// <summary>An address bus that knows who answers where.</summary>
internal sealed class FakeWindows : IMemoryWindows
{
    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, (ulong SizeBytes, IBusDevice Device)> _windows = [];

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _windows.Count;
            }
        }
    }

    public bool TryAdd(ulong address, ulong sizeBytes, IBusDevice device, string name)
    {
        lock (_gate)
        {
            if (_windows.Any(w => address < w.Key + w.Value.SizeBytes && w.Key < address + sizeBytes))
            {
                return false;
            }

            _windows.Add(address, (sizeBytes, device));
            return true;
        }
    }

    public void Remove(ulong address)
    {
        lock (_gate)
        {
            Assert.True(_windows.Remove(address), $"no window at 0x{address:x}");
        }
    }

    public bool Answers(ulong address) => Find(address, out _) is not null;

    public void Read(ulong address, Span<byte> data)
    {
        if (Find(address, out ulong offset) is { } device)
        {
            device.Read(offset, data);
        }
        else
        {
            data.Fill(0xFF);
        }
    }

    public void Write(ulong address, ReadOnlySpan<byte> data) => Find(address, out ulong offset)?.Write(offset, data);

    private IBusDevice? Find(ulong address, out ulong offset)
    {
        lock (_gate)
        {
            foreach ((ulong start, (ulong sizeBytes, IBusDevice device)) in _windows)
            {
                if (address >= start && address - start < sizeBytes)
                {
                    offset = address - start;
                    return device;
                }
            }
        }

        offset = 0;
        return null;
    }
}
