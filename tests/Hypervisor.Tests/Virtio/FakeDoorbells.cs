using Paravane.Hypervisor.Kvm;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>Doorbells as KVM has them: one address and value rings once, and only what is attached can be detached.</summary>
internal sealed class FakeDoorbells : IDoorbells
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(ulong Address, uint LengthBytes, uint? Match), EventFd> _attached = [];

    public bool Fail { get; set; }

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _attached.Count;
            }
        }
    }

    public void Attach(ulong address, uint lengthBytes, uint? match, EventFd target)
    {
        lock (_gate)
        {
            if (Fail)
            {
                throw new LinuxException(Errno.ENOSPC, "KVM_IOEVENTFD");
            }

            Assert.True(lengthBytes > 0 || match is null);
            Assert.True(_attached.TryAdd((address, lengthBytes, match), target), $"two doorbells at 0x{address:x}");
        }
    }

    public void Detach(ulong address, uint lengthBytes, uint? match, EventFd target)
    {
        lock (_gate)
        {
            Assert.True(_attached.Remove((address, lengthBytes, match), out EventFd? was) && was == target, $"no doorbell at 0x{address:x}");
        }
    }

    /// <summary>A write of the guest.</summary>
    /// <returns>False when it would exit.</returns>
    public bool Ring(ulong address, uint lengthBytes, uint value)
    {
        lock (_gate)
        {
            foreach (((ulong at, uint length, uint? match), EventFd target) in _attached)
            {
                if (at == address && (length == 0 || length == lengthBytes) && (match is null || match == value))
                {
                    return target.Signal();
                }
            }

            return false;
        }
    }
}
