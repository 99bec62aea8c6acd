/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Linux driver for edu, the PCI device for teaching. Each device has two files in
 * /sys/bus/pci/devices/SLOT:
 *
 *   factorial   write a number, read its factorial
 *   buffer      the device's buffer of 4096 bytes, read and written by DMA
 *
 * An interrupt ends each job: an MSI, or the pin's where the kernel has no MSI.
 */
#include <linux/module.h>
#include <linux/pci.h>

enum { ID = 0x00, LIVENESS = 0x04, FACTORIAL = 0x08, STATUS = 0x20, INTERRUPT = 0x24 };
enum { ACKNOWLEDGE = 0x64, SOURCE = 0x80, TARGET = 0x88, COUNT = 0x90, COMMAND = 0x98 };
enum { STATUS_INTERRUPT = 0x80, DMA_START = 0x1, DMA_TO_MEMORY = 0x2, DMA_INTERRUPT = 0x4 };
enum { BUFFER = 0x40000, BUFFER_BYTES = 4096, ADDRESS_BITS = 28 };

struct edu {
	void __iomem *registers;
	void *memory; /* the other end of DMA, and the device's address of it */
	dma_addr_t address;
	struct mutex lock; /* for one job at a time */
	struct completion done;
};

static irqreturn_t
edu_interrupt(int irq, void *data)
{
	struct edu *e = data;
	u32 causes = readl(e->registers + INTERRUPT);

	if (!causes)
		return IRQ_NONE; /* another device's, on the same line */
	writel(causes, e->registers + ACKNOWLEDGE);
	complete(&e->done);
	return IRQ_HANDLED;
}

/* With the lock. A write to the register begins the job. */
static void
edu_job(struct edu *e, u32 at, u32 value)
{
	reinit_completion(&e->done);
	writel(value, e->registers + at);
	wait_for_completion(&e->done);
}

static ssize_t
factorial_show(struct device *dev, struct device_attribute *a, char *text)
{
	struct edu *e = dev_get_drvdata(dev);

	return sysfs_emit(text, "%u\n", readl(e->registers + FACTORIAL));
}

static ssize_t
factorial_store(struct device *dev, struct device_attribute *a, const char *text, size_t length)
{
	struct edu *e = dev_get_drvdata(dev);
	u32 number;
	int error = kstrtou32(text, 0, &number);

	if (error)
		return error;
	mutex_lock(&e->lock);
	edu_job(e, FACTORIAL, number);
	mutex_unlock(&e->lock);
	return length;
}
static DEVICE_ATTR_RW(factorial);

/* The piece is inside the buffer: sysfs checks it against the size of the file. */
static ssize_t
edu_copy(struct kobject *dev, char *bytes, loff_t at, size_t length, bool out)
{
	struct edu *e = dev_get_drvdata(kobj_to_dev(dev));

	mutex_lock(&e->lock);
	if (!out)
		memcpy(e->memory, bytes, length);
	writel(out ? BUFFER + at : e->address, e->registers + SOURCE);
	writel(out ? e->address : BUFFER + at, e->registers + TARGET);
	writel(length, e->registers + COUNT);
	edu_job(e, COMMAND, DMA_START | DMA_INTERRUPT | (out ? DMA_TO_MEMORY : 0));
	if (out)
		memcpy(bytes, e->memory, length);
	mutex_unlock(&e->lock);
	return length;
}

static ssize_t
buffer_read(struct file *f, struct kobject *dev, struct bin_attribute *a, char *bytes, loff_t at,
	    size_t length)
{
	return edu_copy(dev, bytes, at, length, true);
}

static ssize_t
buffer_write(struct file *f, struct kobject *dev, struct bin_attribute *a, char *bytes, loff_t at,
	     size_t length)
{
	return edu_copy(dev, bytes, at, length, false);
}
static BIN_ATTR_RW(buffer, BUFFER_BYTES);

/* The kernel undoes what pcim_ and devm_ functions do, when the device has no driver any more. */
static int
edu_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct edu *e = devm_kzalloc(&pci->dev, sizeof(*e), GFP_KERNEL);
	int error;

	if (!e)
		return -ENOMEM;
	mutex_init(&e->lock);
	init_completion(&e->done);
	pci_set_drvdata(pci, e);
	error = pcim_enable_device(pci);
	if (!error)
		error = pcim_iomap_regions(pci, BIT(0), "edu");
	if (!error)
		error = dma_set_mask_and_coherent(&pci->dev, DMA_BIT_MASK(ADDRESS_BITS));
	if (error)
		return error;
	e->registers = pcim_iomap_table(pci)[0];
	writel(0x12345678, e->registers + LIVENESS);
	if (readl(e->registers + LIVENESS) != ~0x12345678u)
		return dev_err_probe(&pci->dev, -ENODEV, "no answer\n");
	e->memory = dmam_alloc_coherent(&pci->dev, BUFFER_BYTES, &e->address, GFP_KERNEL);
	if (!e->memory)
		return -ENOMEM;
	pci_set_master(pci);
	error = pci_alloc_irq_vectors(pci, 1, 1, PCI_IRQ_MSI | PCI_IRQ_LEGACY);
	if (error < 0)
		return error;
	error = devm_request_irq(&pci->dev, pci_irq_vector(pci, 0), edu_interrupt, IRQF_SHARED,
				 "edu", e);
	if (error)
		return error;
	writel(STATUS_INTERRUPT, e->registers + STATUS);
	dev_info(&pci->dev, "identification 0x%08x, %s\n", readl(e->registers + ID),
		 pci->msi_enabled ? "MSI" : "INTx");
	return 0;
}

static struct attribute *edu_files[] = { &dev_attr_factorial.attr, NULL };
static struct bin_attribute *edu_bin_files[] = { &bin_attr_buffer, NULL };
static const struct attribute_group edu_group = { .attrs = edu_files, .bin_attrs = edu_bin_files };
static const struct attribute_group *edu_groups[] = { &edu_group, NULL };
static const struct pci_device_id edu_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.dev_groups = edu_groups,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Driver of edu, QEMU's device for teaching");
MODULE_LICENSE("Dual BSD/GPL");
