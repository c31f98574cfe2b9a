using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Tests.Legacy;

/// <summary>A device from the guest's side.</summary>
internal static class BusAccess
{
    public static byte In(this IBusDevice device, ulong offset)
    {
        Span<byte> data = stackalloc byte[1];
        device.Read(offset, data);
        return data[0];
    }

    public static uint In32(this IBusDevice device, ulong offset)
    {
        Span<byte> data = stackalloc byte[4];
        device.Read(offset, data);
        return BitConverter.ToUInt32(data);
    }

    public static ulong In64(this IBusDevice device, ulong offset)
    {
        Span<byte> data = stackalloc byte[8];
        device.Read(offset, data);
        return BitConverter.ToUInt64(data);
    }

    public static void Out(this IBusDevice device, ulong offset, byte value) => device.Write(offset, [value]);

    public static void Out32(this IBusDevice device, ulong offset, uint value) => device.Write(offset, BitConverter.GetBytes(value));

    /// <summary>Random accesses of every size, inside the range as a bus guarantees it. Nothing may throw (threats H5).</summary>
    public static void Fuzz(IBusDevice device, int rangeBytes, Action? between = null)
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        byte[] data = new byte[8];
        for (int round = 0; round < 30_000; round++)
        {
            int length = random.Next(1, 9);
            ulong offset = (ulong)random.Next(random.Next(2) == 0 ? Math.Min(rangeBytes, 16) : rangeBytes);
            length = Math.Min(length, rangeBytes - (int)offset);
            try
            {
                if (random.Next(2) == 0)
                {
                    device.Read(offset, data.AsSpan(0, length));
                }
                else
                {
                    random.NextBytes(data);
                    device.Write(offset, data.AsSpan(0, length));
                }

                if (random.Next(64) == 0)
                {
                    between?.Invoke();
                }
            }
            catch (Exception unexpected)
            {
                Assert.Fail($"seed {seed}, round {round}, offset 0x{offset:x}, {length} bytes: {unexpected}");
            }
        }
    }
}
